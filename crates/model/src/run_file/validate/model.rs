//! The rules of the `[model]` section: each layer with the shape that it gets.

use super::{Check, product};
use crate::graph::{Activation, Padding};
use crate::run_file::raw::{RawLayer, RawModel, RawPadding, RawPair};
use crate::run_file::{
    DataFormat, DataSpec, LayerSpec, MAX_CONTEXT, MAX_DEPTH, MAX_FEATURES, MAX_LAYERS,
    MAX_PARAMETERS, MAX_WINDOW, ModelSpec, PoolSpec, TextSpec,
};

/// What the layers checked so far make of a sample.
pub(super) struct Flow {
    /// None after a mistake that leaves the shape unknown: nothing is said about it then.
    pub(super) axes: Option<Vec<usize>>,
    /// Values of a sample.
    pub(super) features: usize,
    /// Whether the values are tokens of a text.
    tokens: bool,
    parameters: usize,
    has_parameters: bool,
    layers: usize,
    /// Vocabulary and width of the model's embedding.
    pub(super) embedding: Option<[usize; 2]>,
}

impl Flow {
    fn add_parameters(&mut self, count: usize) {
        self.has_parameters = true;
        self.parameters = self.parameters.saturating_add(count);
    }
}

impl Check {
    pub(super) fn model(&mut self, raw: &RawModel, data: &DataSpec) -> ModelSpec {
        let holds = (1..=8).contains(&raw.input.len())
            && product(&raw.input).is_some_and(|n| (1..=MAX_FEATURES).contains(&n));
        let problem = format!("{:?} is not the shape of a sample", raw.input);
        let remedy = "write one to eight sizes, each at least 1, that multiply to at most 1048576";
        self.require(holds, "model.input", problem, remedy);
        let mut flow = Flow {
            axes: holds.then(|| raw.input.clone()),
            features: product(&raw.input).unwrap_or(usize::MAX),
            tokens: false,
            parameters: 0,
            has_parameters: false,
            layers: 0,
            embedding: None,
        };
        if let DataFormat::Text(TextSpec { context, .. }) = data.format {
            flow.tokens = true;
            // A context that is out of range has its own message.
            let possible = (1..=MAX_CONTEXT).contains(&context);
            let problem = format!("{:?} is not the shape of a text's sequences", raw.input);
            let remedy = format!("write [{context}], as in data.context");
            let fits = !holds || !possible || raw.input == [context];
            self.require(fits, "model.input", problem, &remedy);
            flow.axes = possible.then(|| vec![context]);
        }
        let layers = self.layers(&raw.layers, "model.layers", 0, &mut flow);
        self.totals(&flow);
        let loss = self.loss(raw.loss, data, &flow);
        ModelSpec {
            input: raw.input.clone(),
            layers,
            loss,
        }
    }

    fn totals(&mut self, flow: &Flow) {
        let count = flow.layers;
        let problem = format!("{count} layers");
        let holds = (1..=MAX_LAYERS).contains(&count);
        self.require(holds, "model.layers", problem, "write 1 to 1000 layers");
        let parameters = flow.parameters;
        let problem = format!("the model has {parameters} parameters");
        let remedy =
            format!("use smaller layers: at most {MAX_PARAMETERS} parameters are supported");
        let holds = parameters <= MAX_PARAMETERS;
        self.require(holds, "model.layers", problem, &remedy);
        let problem = "no layer has parameters".to_owned();
        let remedy = "add a layer such as { kind = \"dense\", units = 10 }";
        let holds = flow.has_parameters || count == 0;
        self.require(holds, "model.layers", problem, remedy);
        let problem = "a text's characters are tokens, but no layer embeds them".to_owned();
        let remedy =
            "begin with a layer such as { kind = \"embedding\", vocabulary = 83, width = 64 }";
        let holds = !flow.tokens || count == 0;
        self.require(holds, "model.layers", problem, remedy);
    }

    fn layers(
        &mut self,
        raw: &[RawLayer],
        place: &str,
        depth: usize,
        flow: &mut Flow,
    ) -> Vec<LayerSpec> {
        let mut layers = Vec::new();
        for (idx, layer) in raw.iter().enumerate() {
            flow.layers += 1;
            if flow.layers <= MAX_LAYERS {
                let place = format!("{place}[{idx}]");
                layers.push(self.layer(layer, &place, depth, flow));
                self.output(&place, flow);
            }
        }
        layers
    }

    /// The size of a layer's output.
    fn output(&mut self, place: &str, flow: &mut Flow) {
        let Some(axes) = &flow.axes else { return };
        if product(axes).is_none_or(|n| n > MAX_FEATURES) {
            let problem = format!("its output has shape {axes:?}");
            let remedy =
                format!("use a smaller layer: at most {MAX_FEATURES} values are supported");
            self.require(false, place, problem, &remedy);
            flow.axes = None;
        }
    }

    fn layer(&mut self, raw: &RawLayer, place: &str, depth: usize, flow: &mut Flow) -> LayerSpec {
        if flow.tokens && !matches!(raw, RawLayer::Embedding { .. }) {
            // Reported once, for the whole model.
            flow.axes = None;
        }
        match *raw {
            RawLayer::Flatten {} => {
                flow.axes = flow
                    .axes
                    .take()
                    .and_then(|axes| Some(vec![product(&axes)?]));
                LayerSpec::Flatten
            }
            RawLayer::Relu {} => LayerSpec::RELU,
            RawLayer::Gelu {} => LayerSpec::Activation(Activation::Gelu),
            RawLayer::Sigmoid {} => LayerSpec::Activation(Activation::Sigmoid),
            RawLayer::Tanh {} => LayerSpec::Activation(Activation::Tanh),
            RawLayer::Dense { units, bias } => self.dense(units, bias, place, flow),
            RawLayer::TiedDense { bias } => self.tied_dense(bias, place, flow),
            RawLayer::Conv2d { .. } => self.conv2d(raw, place, flow),
            RawLayer::MaxPool { size, stride } => {
                LayerSpec::MaxPool(self.pool([size, stride.unwrap_or(size)], place, flow))
            }
            RawLayer::AvgPool { size, stride } => {
                LayerSpec::AvgPool(self.pool([size, stride.unwrap_or(size)], place, flow))
            }
            RawLayer::Dropout { rate } => {
                let remedy = "write a number from 0 to below 1";
                let allowed = |v| (0.0..1.0).contains(&v);
                self.real(&format!("{place}.rate"), rate, allowed, remedy);
                LayerSpec::Dropout { rate }
            }
            RawLayer::Embedding { vocabulary, width } => {
                self.embedding([vocabulary, width], place, flow)
            }
            RawLayer::PositionalEmbedding {} => {
                if let Some([positions, width]) = self.sequence("positional_embedding", place, flow)
                {
                    flow.add_parameters(positions * width);
                }
                LayerSpec::PositionalEmbedding
            }
            RawLayer::LayerNorm { epsilon } => {
                let remedy = "write a number above 0 and at most 1";
                let allowed = |v| v > 0.0 && v <= 1.0;
                self.real(&format!("{place}.epsilon"), epsilon, allowed, remedy);
                let width = flow.axes.as_ref().and_then(|axes| axes.last());
                flow.add_parameters(2 * width.copied().unwrap_or(0));
                LayerSpec::LayerNorm { epsilon }
            }
            RawLayer::Attention { heads, causal } => self.attention(heads, causal, place, flow),
            RawLayer::Residual { ref layers } => self.residual(layers, place, depth, flow),
        }
    }

    fn dense(&mut self, units: usize, bias: bool, place: &str, flow: &mut Flow) -> LayerSpec {
        self.within(
            &format!("{place}.units"),
            units as u64,
            1,
            MAX_FEATURES as u64,
        );
        if let Some(axes) = flow.axes.take() {
            let problem =
                format!("dense needs one axis or (positions, width), but gets shape {axes:?}");
            let remedy = "put { kind = \"flatten\" } before it";
            self.require(axes.len() <= 2, place, problem, remedy);
            // Carries on as if the remedy were taken.
            let (rows, inputs) = match axes[..] {
                [rows, width] => (Some(rows), width),
                _ => (None, product(&axes).unwrap_or(usize::MAX)),
            };
            let weights = inputs
                .saturating_add(usize::from(bias))
                .saturating_mul(units);
            flow.add_parameters(weights);
            flow.axes = Some(
                rows.into_iter()
                    .chain([units.clamp(1, MAX_FEATURES)])
                    .collect(),
            );
        }
        flow.has_parameters = true;
        LayerSpec::Dense { units, bias }
    }

    fn tied_dense(&mut self, bias: bool, place: &str, flow: &mut Flow) -> LayerSpec {
        let problem = "there is no embedding before it whose table it could share".to_owned();
        let remedy = "begin the model with an embedding, or write a dense layer";
        self.require(
            flow.embedding.is_some() || flow.tokens,
            place,
            problem,
            remedy,
        );
        let axes = flow.axes.take();
        if let (Some(mut axes), Some([vocabulary, width])) = (axes, flow.embedding) {
            let problem = format!(
                "the embedding's vectors have width {width}, but the layer gets shape {axes:?}"
            );
            let remedy = format!("put a dense layer of {width} units before it");
            let holds = axes.len() <= 2 && axes.last() == Some(&width);
            self.require(holds, place, problem, &remedy);
            axes.pop();
            axes.push(vocabulary);
            flow.axes = Some(axes);
            flow.add_parameters(if bias { vocabulary } else { 0 });
        }
        LayerSpec::TiedDense { bias }
    }

    fn conv2d(&mut self, raw: &RawLayer, place: &str, flow: &mut Flow) -> LayerSpec {
        let RawLayer::Conv2d {
            channels,
            kernel,
            stride,
            padding,
            groups,
            bias,
        } = *raw
        else {
            unreachable!("called for convolutions only")
        };
        let padding = match padding {
            RawPadding::Same => Padding::Same,
            RawPadding::Valid => Padding::Valid,
            RawPadding::Pixels(pixels) => Padding::Pixels(pixels),
        };
        let before = self.mistakes.len();
        self.within(
            &format!("{place}.channels"),
            channels as u64,
            1,
            MAX_FEATURES as u64,
        );
        let (kernel, stride) = self.window("kernel", [kernel, stride], place);
        if let Padding::Pixels(pixels) = padding {
            let problem =
                format!("a padding of {pixels} is not smaller than the kernel {kernel:?}");
            let remedy = "write \"same\", \"valid\" or a smaller number";
            let holds = pixels < kernel[0].min(kernel[1]).max(1);
            self.require(holds, &format!("{place}.padding"), problem, remedy);
        }
        let image = self.image("conv2d", place, flow);
        if let Some([_, _, inputs]) = image {
            let divides = |n: usize| groups > 0 && n.is_multiple_of(groups);
            let problem = format!(
                "{groups} groups do not divide {inputs} input and {channels} output channels evenly"
            );
            let remedy = "write a number that divides both, such as 1";
            let holds = divides(inputs) && divides(channels);
            self.require(holds, &format!("{place}.groups"), problem, remedy);
        }
        let sides = self.slide(image, "kernel", (kernel, stride, padding), place);
        flow.has_parameters = true;
        flow.axes = None;
        if let (Some([height, width]), Some([_, _, inputs])) = (sides, image)
            && self.mistakes.len() == before
        {
            let depth = kernel[0] * kernel[1] * (inputs / groups) + usize::from(bias);
            flow.add_parameters(depth.saturating_mul(channels));
            flow.axes = Some(vec![height, width, channels]);
        }
        LayerSpec::Conv2d {
            channels,
            kernel,
            stride,
            padding,
            groups,
            bias,
        }
    }

    fn pool(&mut self, sizes: [RawPair; 2], place: &str, flow: &mut Flow) -> PoolSpec {
        let before = self.mistakes.len();
        let (size, stride) = self.window("size", sizes, place);
        let image = self.image("pooling", place, flow);
        let sides = self.slide(image, "window", (size, stride, Padding::Valid), place);
        flow.axes = None;
        if let (Some([height, width]), Some([_, _, channels])) = (sides, image)
            && self.mistakes.len() == before
        {
            flow.axes = Some(vec![height, width, channels]);
        }
        PoolSpec { size, stride }
    }

    /// Height and width of a window under `key`, and its stride.
    fn window(
        &mut self,
        key: &str,
        [size, stride]: [RawPair; 2],
        place: &str,
    ) -> ([usize; 2], [usize; 2]) {
        for (key, pair) in [(key, size), ("stride", stride)] {
            let [height, width] = pair.sizes();
            let problem = format!("{:?} is out of range", pair.sizes());
            let remedy = format!("write whole numbers from 1 to {MAX_WINDOW}");
            let holds = [height, width].iter().all(|n| (1..=MAX_WINDOW).contains(n));
            self.require(holds, &format!("{place}.{key}"), problem, &remedy);
        }
        (size.sizes(), stride.sizes())
    }

    /// How often a window fits an image: down and across.
    fn slide(
        &mut self,
        image: Option<[usize; 3]>,
        what: &str,
        (size, stride, padding): ([usize; 2], [usize; 2], Padding),
        place: &str,
    ) -> Option<[usize; 2]> {
        let [height, width, _] = image?;
        if [size, stride].concat().contains(&0) {
            return None;
        }
        let down = padding.resolve(height, size[0], stride[0]);
        let across = padding.resolve(width, size[1], stride[1]);
        let problem =
            format!("the {what} {size:?} is larger than the image of {height} x {width} pixels");
        let remedy = format!("use a smaller {what}, or pool less before it");
        self.require(down.is_some() && across.is_some(), place, problem, &remedy);
        Some([down?.0, across?.0])
    }

    fn image(&mut self, what: &str, place: &str, flow: &Flow) -> Option<[usize; 3]> {
        let axes = flow.axes.as_ref()?;
        let image = <[usize; 3]>::try_from(axes.as_slice());
        let problem = format!("{what} needs (height, width, channels), but gets shape {axes:?}");
        let remedy = "put it before flatten, with a model.input such as [28, 28, 1]";
        self.require(image.is_ok(), place, problem, remedy);
        image.ok()
    }

    fn sequence(&mut self, what: &str, place: &str, flow: &Flow) -> Option<[usize; 2]> {
        let axes = flow.axes.as_ref()?;
        let sequence = <[usize; 2]>::try_from(axes.as_slice());
        let problem = format!("{what} needs (positions, width), but gets shape {axes:?}");
        let remedy = "put it behind an embedding and before flatten";
        self.require(sequence.is_ok(), place, problem, remedy);
        sequence.ok()
    }

    fn embedding(
        &mut self,
        [vocabulary, width]: [usize; 2],
        place: &str,
        flow: &mut Flow,
    ) -> LayerSpec {
        self.within(&format!("{place}.vocabulary"), vocabulary as u64, 2, 65_536);
        self.within(
            &format!("{place}.width"),
            width as u64,
            1,
            MAX_FEATURES as u64,
        );
        let problem = if flow.layers == 1 {
            "the data are values, not tokens that could be embedded"
        } else {
            "only the first layer gets tokens that can be embedded"
        };
        let remedy = "write data.format = \"text\" and make it the first layer, or use dense";
        self.require(flow.tokens, place, problem.to_owned(), remedy);
        flow.axes = match flow.axes.as_deref() {
            Some([positions]) if flow.tokens => Some(vec![*positions, width]),
            _ => None,
        };
        flow.tokens = false;
        flow.embedding.get_or_insert([vocabulary, width]);
        flow.add_parameters(vocabulary.saturating_mul(width));
        LayerSpec::Embedding { vocabulary, width }
    }

    fn attention(&mut self, heads: usize, causal: bool, place: &str, flow: &mut Flow) -> LayerSpec {
        if let Some([positions, width]) = self.sequence("attention", place, flow) {
            let problem = format!("{heads} heads do not divide the width {width} evenly");
            let remedy = "write a number that divides the width, such as 1";
            let holds = heads > 0 && width.is_multiple_of(heads);
            self.require(holds, &format!("{place}.heads"), problem, remedy);
            let problem = format!("{positions} positions are too many");
            let remedy = format!("use sequences of at most {MAX_CONTEXT}");
            self.require(positions <= MAX_CONTEXT, place, problem, &remedy);
            let per_output = width.saturating_add(1);
            flow.add_parameters(per_output.saturating_mul(width).saturating_mul(4));
        } else {
            flow.axes = None;
        }
        flow.has_parameters = true;
        LayerSpec::Attention { heads, causal }
    }

    fn residual(
        &mut self,
        raw: &[RawLayer],
        place: &str,
        depth: usize,
        flow: &mut Flow,
    ) -> LayerSpec {
        let problem = "there are no layers in it".to_owned();
        self.require(!raw.is_empty(), place, problem, "write layers = [ … ]");
        if depth >= MAX_DEPTH {
            let problem = format!("it is within {depth} others");
            let remedy = format!("nest at most {MAX_DEPTH} residual blocks");
            self.require(false, place, problem, &remedy);
            return LayerSpec::Residual { layers: Vec::new() };
        }
        let before = flow.axes.clone();
        let layers = self.layers(raw, &format!("{place}.layers"), depth + 1, flow);
        if let (Some(before), Some(after)) = (&before, &flow.axes) {
            let problem = format!("its layers make shape {after:?} of {before:?}");
            let remedy = "let them keep the shape, so that their output can be added to the input";
            self.require(before == after, place, problem, remedy);
        }
        flow.axes = before;
        LayerSpec::Residual { layers }
    }
}

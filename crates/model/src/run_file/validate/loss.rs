//! The rules of `model.loss`: what it compares with, and the scores that it needs.

use super::model::Flow;
use super::{Check, product};
use crate::dataset::{CHUNK_SAMPLES, MAX_CHUNK_BYTES};
use crate::run_file::raw::{RawLoss, RawLossKind, RawTargets};
use crate::run_file::{DataFormat, DataSpec, LossSpec, TextSpec};

impl Check {
    pub(super) fn loss(&mut self, raw: RawLoss, data: &DataSpec, flow: &Flow) -> LossSpec {
        let loss = self.kind_of_loss(raw, data);
        let name = match loss {
            LossSpec::SoftmaxCrossEntropy | LossSpec::SoftTargets { .. } => "softmax cross-entropy",
            LossSpec::MeanSquaredError | LossSpec::MeanSquaredErrorOfClasses => {
                "mean squared error"
            }
        };
        let Some(axes) = &flow.axes else { return loss };
        if let DataFormat::Text(TextSpec { context, .. }) = data.format {
            let Some([vocabulary, _]) = flow.embedding else {
                return loss;
            };
            let problem = format!(
                "{name} needs one score per character of the vocabulary at each position, but the last layer gives shape {axes:?}"
            );
            let remedy =
                format!("end with a layer that gives [{context}, {vocabulary}], such as dense");
            self.require(
                *axes == [context, vocabulary],
                "model.loss",
                problem,
                &remedy,
            );
            return loss;
        }
        let classes = product(axes).unwrap_or(usize::MAX);
        let holds = axes.len() == 1 && (2..=65_536).contains(&classes);
        let problem =
            format!("{name} needs one score per class, but the last layer gives shape {axes:?}");
        let remedy = "end with a dense layer of as many units as there are classes, 2 to 65536";
        self.require(holds, "model.loss", problem, remedy);
        if let LossSpec::SoftTargets { .. } = loss {
            let room = (MAX_CHUNK_BYTES / CHUNK_SAMPLES as usize).saturating_sub(flow.features);
            let most = room / size_of::<f32>();
            let problem = format!("soft targets for {classes} classes make chunks too large");
            let remedy = format!("use at most {most} classes, or targets = \"classes\"");
            self.require(!holds || classes <= most, "model.loss", problem, &remedy);
        }
        loss
    }

    fn kind_of_loss(&mut self, raw: RawLoss, data: &DataSpec) -> LossSpec {
        let raw = raw.table();
        let hard = match raw.kind {
            RawLossKind::SoftmaxCrossEntropy => LossSpec::SoftmaxCrossEntropy,
            RawLossKind::Mse => LossSpec::MeanSquaredErrorOfClasses,
        };
        if raw.targets == RawTargets::Classes {
            let problem = "only soft targets have a temperature".to_owned();
            let remedy = "write targets = \"soft\", or leave the key out";
            let holds = raw.temperature.is_none();
            self.require(holds, "model.loss.temperature", problem, remedy);
            return hard;
        }
        let problem = "mean squared error has no soft targets".to_owned();
        let remedy = "write kind = \"softmax_cross_entropy\", or targets = \"classes\"";
        let holds = raw.kind == RawLossKind::SoftmaxCrossEntropy;
        self.require(holds, "model.loss.targets", problem, remedy);
        let problem = "the targets of a text are its own characters".to_owned();
        let remedy = "write targets = \"classes\", or data of format = \"idx\"";
        let holds = data.format == DataFormat::Idx;
        self.require(holds, "model.loss.targets", problem, remedy);
        let temperature = raw.temperature.unwrap_or(1.0);
        let remedy = "write a number from 0.01 to 100";
        let allowed = |t| (0.01..=100.0).contains(&t);
        self.real("model.loss.temperature", temperature, allowed, remedy);
        LossSpec::SoftTargets { temperature }
    }
}

//! What a run is trained on.

/// How stored bytes become input values: `(byte / 255 - mean) / std`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Subtracted.
    pub mean: f32,
    /// Divided by.
    pub std: f32,
}

impl Normalization {
    /// The value of each stored byte: a table, so that every worker has the same bits.
    pub fn table(self) -> [f32; 256] {
        std::array::from_fn(|byte| (byte as f32 / 255.0 - self.mean) / self.std)
    }
}

/// What the samples are made of.
#[derive(Debug, Clone, PartialEq)]
pub enum DataFormat {
    /// The files of MNIST: images of bytes, each with a class.
    Idx,
    /// A text, cut into sequences of tokens; each token's label is the next one.
    Text(TextSpec),
    /// Rows of named columns.
    Table(TableSpec),
    /// Two arrays of `NumPy`.
    Arrays(ArraySpec),
    /// Pictures in folders named by their class.
    Images {
        /// What becomes of pictures of another size than the model's.
        fit: ImageFit,
        /// What is not trained on.
        split: Split,
    },
}

/// How a text becomes samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextSpec {
    /// What a token is.
    pub unit: TextUnit,
    /// Tokens of a sequence.
    pub context: usize,
    /// Share of the text, at its end, that is kept for evaluation.
    pub validation: f64,
}

/// What a text is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextUnit {
    /// The different characters that it has.
    Characters,
    /// All 256 bytes, whatever they stand for.
    Bytes,
}

/// Where the samples come from.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSpec {
    /// Folder or file of the data set below the server's data set directory.
    pub path: String,
    /// What the samples are made of.
    pub format: DataFormat,
    /// How bytes become values; not for text, whose tokens stay whole numbers, nor for samples that are
    /// stored as values.
    pub normalization: Normalization,
    /// Samples are shuffled within windows of about so many; none shuffles the whole set at once.
    pub shuffle_window: Option<u32>,
}

/// What kind of file a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// Text with a separator between the cells.
    Separated {
        /// An ASCII character.
        separator: u8,
        /// Whether the first line names the columns; they are called 1, 2, 3, … otherwise.
        header: bool,
    },
    /// Parquet.
    Parquet,
}

/// How a table becomes samples.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSpec {
    /// What kind of file it is.
    pub kind: TableKind,
    /// Name of the column that holds the class.
    pub label: String,
    /// Columns of words, each of which becomes one value for each different word: 1 for this one, 0 for others.
    pub categorical: Vec<String>,
    /// Columns that are not looked at.
    pub ignore: Vec<String>,
    /// What becomes of cells without a value.
    pub missing: Missing,
    /// How numbers are scaled.
    pub scaling: Scaling,
    /// What is not trained on.
    pub split: Split,
}

/// How arrays become samples.
#[derive(Debug, Clone, PartialEq)]
pub struct ArraySpec {
    /// Name of the array (samples, …).
    pub inputs: String,
    /// Name of the array (samples).
    pub labels: String,
    /// How numbers are scaled; none where bytes are stored as they are.
    pub scaling: Option<Scaling>,
    /// What is not trained on.
    pub split: Split,
}

/// What becomes of a cell without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is a mistake.
    Refuse,
    /// It is taken for the mean of the training samples.
    Mean,
    /// It is taken for 0.
    Zero,
}

/// How numbers are scaled before they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// Each column to mean 0 and standard deviation 1 over the training samples.
    Standard,
    /// Each column to 0..1 over the training samples.
    Range,
}

/// What becomes of a picture of another size than the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFit {
    /// It is a mistake.
    Exact,
    /// It is resampled.
    Stretch,
}

/// Shares of the samples that are not trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Evaluated while training.
    pub validation: f64,
    /// Kept out of everything that training looks at.
    pub test: f64,
}

impl DataFormat {
    /// The split that was declared; none for formats that have parts of their own.
    pub fn split(&self) -> Option<Split> {
        match self {
            Self::Idx | Self::Text(_) => None,
            Self::Table(table) => Some(table.split),
            Self::Arrays(arrays) => Some(arrays.split),
            Self::Images { split, .. } => Some(*split),
        }
    }

    /// Whether samples are stored as bytes that the run's normalization makes values of.
    pub fn has_bytes(&self) -> bool {
        match self {
            Self::Idx | Self::Images { .. } => true,
            Self::Arrays(arrays) => arrays.scaling.is_none(),
            Self::Text(_) | Self::Table(_) => false,
        }
    }
}

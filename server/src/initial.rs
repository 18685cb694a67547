//! Parameters that a run begins with instead of those that follow from its seed.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use tabswarm_export::safetensors::{ParametersError, max_file_bytes, parameters};
use tabswarm_model::Run;
use thiserror::Error;

/// Why a run can't begin with a file.
#[derive(Debug, Error)]
pub(crate) enum InitialError {
    /// It can't be read.
    #[error("model.init: {} can't be read: {source}; put the file below the server's --datasets-dir", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
    /// It is longer than the model's parameters can be.
    #[error("model.init: {} is longer than {max} bytes, which is more than this model's parameters can take; is it another model's?", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// It holds something else.
    #[error("model.init: {} does not fit the model: {source}; `tabswarm export RUN --format card` lists the tensors of a run", path.display())]
    Misfit {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ParametersError,
    },
}

/// The parameters of the run's file below the data set directory; none where it names none.
pub(crate) fn read(run: &Run, datasets_dir: &Path) -> Result<Option<Vec<f32>>, InitialError> {
    let Some(path) = &run.init else {
        return Ok(None);
    };
    let path = datasets_dir.join(path);
    let layout = run.graph().layout;
    let max = max_file_bytes(&layout);
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(&path)?
            .take(max as u64 + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = match read() {
        Ok(bytes) => bytes,
        Err(source) => return Err(InitialError::Read { path, source }),
    };
    if bytes.len() > max {
        return Err(InitialError::TooLong { path, max });
    }
    match parameters(&bytes, &layout) {
        Ok(params) => Ok(Some(params)),
        Err(source) => Err(InitialError::Misfit { path, source }),
    }
}

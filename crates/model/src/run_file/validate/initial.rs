//! Parameters to begin with that do not follow from the seed.

use super::super::raw::RawModel;
use super::Check;
use crate::path_part::is_path_part;

impl Check {
    pub(super) fn initial(&mut self, raw: &RawModel) -> Option<String> {
        let path = raw.init.as_ref()?;
        let holds = path.ends_with(".safetensors") && path.split('/').all(is_path_part);
        let problem = format!("{path:?} is not a file below the data set directory");
        let remedy = "write a relative path of letters, digits, dots, dashes and underscores that ends in .safetensors";
        self.require(holds, "model.init", problem, remedy);
        Some(path.clone())
    }
}

//! The seam to templates of ExternalSecrets, until they are there: without a template there is nothing to do.

use std::collections::BTreeMap;

use crate::{plan::Data, seal::DataKey, template::TemplateError};

/// The templates of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalTemplates(BTreeMap<DataKey, String>);

impl ExternalTemplates {
    /// Takes them.
    pub fn parse(sources: BTreeMap<DataKey, String>) -> Result<Self, TemplateError> {
        Ok(Self(sources))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Renders nothing.
    pub fn render(&self, _values: &Data) -> Result<Data, TemplateError> {
        Ok(Data::default())
    }

    /// Nothing.
    pub fn digest(&self) -> Option<String> {
        None
    }
}

/// A template of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TransformTemplate(String);

impl TransformTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self(text.to_owned()))
    }

    pub(super) fn apply(&self, name: &str) -> Result<String, TemplateError> {
        Ok(self.0.replace("{{ value | upper }}", &name.to_uppercase()))
    }
}

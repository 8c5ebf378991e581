//! Documents out of a request's body, exactly as they were sent (P10).

use lcs_domain::{Metadata, Payload, PayloadLimits};

use super::error::ApiError;
use super::json_object::{Field, Object};

/// The documents in an object, each as its text: no number is rounded by reading it.
pub(super) struct Documents<'a> {
    object: Option<&'a Object>,
    place: String,
    limits: PayloadLimits,
}

impl<'a> Documents<'a> {
    /// Those in a body.
    #[must_use]
    pub(super) const fn of_body(object: &'a Object, limits: PayloadLimits) -> Self {
        Self { object: Some(object), place: String::new(), limits }
    }

    /// Those in an object in it.
    #[must_use]
    pub(super) fn of(&self, name: &str) -> Self {
        let object = self.field(name).and_then(Field::object);
        Self { object, place: self.place_of(name), limits: self.limits }
    }

    fn field(&self, name: &str) -> Option<&'a Field> {
        self.object?.get(name)
    }

    /// The document's text, if it is there and not `null`.
    fn json(&self, name: &str) -> Option<&'a str> {
        self.field(name).map(Field::json).filter(|json| *json != "null")
    }

    fn place_of(&self, name: &str) -> String {
        format!("{}/{name}", self.place)
    }

    /// The document; `null` is none.
    pub(super) fn payload(&self, name: &str) -> Result<Option<Payload>, ApiError> {
        self.json(name).map(|json| self.document(name, json)).transpose()
    }

    /// The document, which has been found to be there; `null` is one.
    pub(super) fn required_payload(&self, name: &str) -> Result<Payload, ApiError> {
        self.document(name, self.json(name).unwrap_or("null"))
    }

    fn document(&self, name: &str, json: &str) -> Result<Payload, ApiError> {
        Payload::parse_within(json, self.limits)
            .map_err(|error| ApiError::of_repository(&error.at(&self.place_of(name)), None))
    }

    /// The metadata, which has been found to be an object or nothing; `null` is none.
    pub(super) fn metadata(&self, name: &str) -> Result<Metadata, ApiError> {
        let Some(json) = self.json(name) else { return Ok(Metadata::default()) };
        Metadata::parse(json).map_err(|error| ApiError::of_repository(&error.at(&self.place_of(name)), None))
    }
}

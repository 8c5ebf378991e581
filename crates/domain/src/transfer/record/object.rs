//! A JSON object that is written field by field: what is JSON already is copied, not parsed again.

use serde::Serialize;

use crate::{Payload, RepositoryError};

/// An object in the making.
pub(super) struct Object(String);

impl Object {
    /// An object without a field.
    pub(super) fn new() -> Self {
        Self("{".to_owned())
    }

    /// One of this type.
    pub(super) fn of_type(kind: &str) -> Self {
        Self(format!("{{\"type\":\"{kind}\""))
    }

    /// Adds a field that is JSON already.
    pub(super) fn raw(mut self, name: &str, json: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(json);
        self
    }

    /// Adds a field.
    pub(super) fn put<T: Serialize + ?Sized>(self, name: &str, value: &T) -> Result<Self, RepositoryError> {
        let json = serde_json::to_string(value)
            .map_err(|error| RepositoryError::invalid(format!("/{name}"), format!("not JSON: {error}")))?;
        Ok(self.raw(name, &json))
    }

    /// Adds a field, where there is a value.
    pub(super) fn put_some<T: Serialize>(
        self,
        name: &str,
        value: Option<&T>,
    ) -> Result<Self, RepositoryError> {
        match value {
            Some(value) => self.put(name, value),
            None => Ok(self),
        }
    }

    /// Adds a payload, where there is one.
    pub(super) fn payload(self, name: &str, payload: Option<&Payload>) -> Result<Self, RepositoryError> {
        match payload {
            Some(payload) => Ok(self.raw(name, &payload.canonical_json()?)),
            None => Ok(self),
        }
    }

    /// The object.
    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

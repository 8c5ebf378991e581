//! Documents out of a request's body, exactly as they were sent (P10).

use std::collections::BTreeMap;

use lcs_domain::{Metadata, Payload, PayloadLimits};
use serde_json::value::RawValue;

use super::error::ApiError;

/// The fields of an object, each as its text: no number is rounded by reading it.
pub(super) struct RawObject {
    fields: BTreeMap<String, Box<RawValue>>,
    place: String,
    limits: PayloadLimits,
}

impl RawObject {
    /// The fields of the object that `bytes` hold.
    pub(super) fn parse(bytes: &[u8], limits: PayloadLimits) -> Result<Self, ApiError> {
        Self::at(bytes, String::new(), limits)
    }

    fn at(bytes: &[u8], place: String, limits: PayloadLimits) -> Result<Self, ApiError> {
        // What holds them has been read before.
        let fields = serde_json::from_slice(bytes).map_err(|_| ApiError::internal())?;
        Ok(Self { fields, place, limits })
    }

    /// The fields of an object in it.
    pub(super) fn object(&self, name: &str) -> Result<Self, ApiError> {
        let bytes = self.fields.get(name).map_or("{}", |raw| raw.get()).as_bytes();
        Self::at(bytes, format!("{}/{name}", self.place), self.limits)
    }

    /// The document; `null` is none.
    pub(super) fn payload(&self, name: &str) -> Result<Option<Payload>, ApiError> {
        match self.fields.get(name) {
            Some(raw) if raw.get() != "null" => self.document(name, raw.get()).map(Some),
            _ => Ok(None),
        }
    }

    /// The document, which has been found to be there; `null` is one.
    pub(super) fn required_payload(&self, name: &str) -> Result<Payload, ApiError> {
        self.document(name, self.fields.get(name).map_or("null", |raw| raw.get()))
    }

    fn document(&self, name: &str, json: &str) -> Result<Payload, ApiError> {
        let place = format!("{}/{name}", self.place);
        Payload::parse_within(json, self.limits)
            .map_err(|error| ApiError::of_repository(&error.at(&place), None))
    }

    /// The metadata, which has been found to be an object or nothing; `null` is none.
    pub(super) fn metadata(&self, name: &str) -> Result<Metadata, ApiError> {
        match self.fields.get(name) {
            Some(raw) if raw.get() != "null" => Metadata::parse(raw.get())
                .map_err(|error| ApiError::of_repository(&error.at(&format!("{}/{name}", self.place)), None)),
            _ => Ok(Metadata::default()),
        }
    }
}

//! The two columns of a payload: `jsonb` for ordinary documents, sealed bytes for what that cannot hold.
//!
//! The sealed form begins with a header that describes it, so that compressed and encrypted forms can
//! stand in the same column later:
//!
//! | byte | meaning |
//! | --- | --- |
//! | 0 | format of the header: 1 |
//! | 1 | codec of the bytes behind the header: 0 is the JSON text in UTF-8 |
//! | 2 | length of the key id that follows: 0, nothing is encrypted |

use lcs_domain::{Payload, RepositoryError};

const FORMAT: u8 = 1;
const CODEC_JSON: u8 = 0;
const NO_KEY: u8 = 0;

/// The sealed form of a payload.
pub(crate) struct Sealed(pub(crate) Vec<u8>);

impl Sealed {
    /// The form in which `payload` has to be sealed; `None` where it is kept plain.
    pub(crate) fn of(payload: &Payload) -> Result<Option<Self>, RepositoryError> {
        if !payload.needs_sealing()? {
            return Ok(None);
        }
        let mut sealed = vec![FORMAT, CODEC_JSON, NO_KEY];
        sealed.extend_from_slice(payload.as_json().as_bytes());
        Ok(Some(Self(sealed)))
    }
}

/// A payload as it stands in its two columns: exactly one of them is set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Columns {
    /// The JSON text, for the plain column.
    pub(crate) plain: Option<String>,
    /// The sealed form, for the companion column.
    pub(crate) sealed: Option<Vec<u8>>,
}

impl Columns {
    /// Neither column set: a payload that is not there.
    pub(crate) const NONE: Self = Self { plain: None, sealed: None };

    /// The columns in which `payload` is stored.
    pub(crate) fn of(payload: &Payload) -> Result<Self, RepositoryError> {
        Ok(match Sealed::of(payload)? {
            Some(Sealed(sealed)) => Self { plain: None, sealed: Some(sealed) },
            None => Self { plain: Some(payload.as_json().to_owned()), sealed: None },
        })
    }

    /// The columns in which `payload` is stored, or none of them.
    pub(crate) fn of_option(payload: Option<&Payload>) -> Result<Self, RepositoryError> {
        payload.map_or(Ok(Self::NONE), Self::of)
    }
}

/// A payload as it is read from its two columns.
#[derive(Debug)]
pub(crate) struct Stored {
    /// What the plain column holds.
    pub(crate) plain: Option<Payload>,
    /// What its companion holds.
    pub(crate) sealed: Option<Vec<u8>>,
}

impl Stored {
    /// The payload that these columns hold; `None` where neither is set.
    ///
    /// The error says what is wrong, without any content.
    pub(crate) fn into_payload(self) -> Result<Option<Payload>, &'static str> {
        match (self.plain, self.sealed) {
            (Some(payload), None) => Ok(Some(payload)),
            (None, Some(sealed)) => open(&sealed).map(Some),
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err("both the plain and the sealed column are set"),
        }
    }
}

fn open(sealed: &[u8]) -> Result<Payload, &'static str> {
    match sealed {
        [FORMAT, CODEC_JSON, NO_KEY, json @ ..] => {
            let json = std::str::from_utf8(json).map_err(|_| "the sealed bytes are not UTF-8")?;
            // A few bytes may have rotted: what jsonb checks for the plain column is checked here.
            Payload::parse_bytes(json.as_bytes(), lcs_domain::PayloadLimits { max_bytes: usize::MAX })
                .map_err(|_| "the sealed bytes are not a JSON document")
        }
        _ => Err("the sealed form has a header that this program does not know"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(columns: Columns) -> Result<Option<Payload>, &'static str> {
        Stored { plain: columns.plain.map(Payload::from_stored), sealed: columns.sealed }.into_payload()
    }

    #[test]
    fn ordinary_documents_are_plain_and_the_others_sealed() {
        for (json, sealed) in [(r#"{"a":1}"#, false), (r#"["\u0000"]"#, true), ("1e300", true)] {
            let payload = Payload::parse(json).unwrap();
            let columns = Columns::of(&payload).unwrap();
            assert_eq!((columns.plain.is_some(), columns.sealed.is_some()), (!sealed, sealed), "{json}");
            assert_eq!(read(columns).unwrap(), Some(payload));
        }
        assert_eq!(read(Columns::of_option(None).unwrap()).unwrap(), None);
    }

    #[test]
    fn damaged_columns_are_told_not_guessed() {
        for sealed in
            [&b""[..], b"\x01", b"\x02\x00\x00{}", b"\x01\x07\x00{}", b"\x01\x00\x00{", b"\x01\x00\x00\xff"]
        {
            let columns = Columns { plain: None, sealed: Some(sealed.to_vec()) };
            assert!(read(columns).is_err(), "{sealed:?}");
        }
        let columns = Columns { plain: Some("1".into()), sealed: Some(vec![1, 0, 0, b'1']) };
        assert!(read(columns).is_err());
    }
}

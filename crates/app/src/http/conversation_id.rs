//! The ids that conversations are called by: all that LCS takes, each the name of one conversation.
//!
//! LCS takes 48 hexadecimal digits (with or without `conv_` before them) and UUIDs in all their forms.
//! A conversation of ours is named by its UUID; one that another system began, by its 48 digits.

use lcs_domain::{ConversationId, Text, UserId};
use uuid::Uuid;

use super::error::ApiError;
use http::StatusCode;

/// What other systems write before 48 digits.
const PREFIX: &str = "conv_";
const DIGITS: usize = 48;

/// A conversation as a caller calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConversationName {
    /// The conversation.
    pub(crate) id: ConversationId,
    /// How the caller called it, without `conv_`: so it is called in the answer.
    pub(super) shown: String,
    /// The id that another system knows it by, where it is no UUID.
    pub(crate) external_id: Option<Text>,
}

impl ConversationName {
    /// The conversation that this user calls `text`; `None` where no conversation can be called so.
    #[must_use]
    pub(crate) fn parse(user_id: UserId, text: &str) -> Option<Self> {
        let shown = text.strip_prefix(PREFIX).unwrap_or(text).to_owned();
        if shown.chars().count() == DIGITS {
            let key = shown.to_ascii_lowercase();
            if !is_hexadecimal_number(&key) {
                return None;
            }
            let id = ConversationId::from_external_id(user_id, &key);
            let external_id = Some(Text::name(shown.clone(), "/conversation_id").ok()?);
            return Some(Self { id, shown, external_id });
        }
        // Here the prefix has no place.
        let id = ConversationId::from_uuid(uuid_in_any_form(text)?);
        Some(Self { id, shown, external_id: None })
    }

    /// The same, for a path.
    ///
    /// # Errors
    /// 400 where no conversation can be called so.
    pub(super) fn of_path(user_id: UserId, text: &str) -> Result<Self, ApiError> {
        Self::parse(user_id, text).ok_or_else(|| {
            // An id may be anything, a whole document too: what is shown of it is bounded.
            let shown: String = text.chars().take(64).collect();
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "Invalid conversation ID format",
                format!("The conversation ID {shown} has invalid format."),
            )
        })
    }

    /// The answer's error where there is no such conversation.
    #[must_use]
    pub(super) fn not_found(&self) -> ApiError {
        ApiError::conversation_not_found(&self.shown)
    }
}

/// Python's `int(text, 16)`, which is what LCS asks: a sign, `0x` and single underscores are taken too.
fn is_hexadecimal_number(text: &str) -> bool {
    let text = text.trim();
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = text.strip_prefix("0x").map_or(text, |rest| rest.strip_prefix('_').unwrap_or(rest));
    !digits.is_empty()
        && digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Python's `UUID(text)`: with or without dashes, in braces, as a URN.
fn uuid_in_any_form(text: &str) -> Option<Uuid> {
    let text = text.replace("urn:", "").replace("uuid:", "");
    let digits = text.trim_matches(['{', '}']).replace('-', "");
    (digits.len() == 32).then(|| Uuid::try_parse(&digits).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserId {
        UserId::from_text("ada")
    }

    #[test]
    fn all_that_lcs_takes_is_taken() {
        let hex = "7b63a1c4e5f60718293a4b5c6d7e8f901122334455667788";
        let accepted = [
            hex.to_owned(),
            format!("conv_{hex}"),
            hex.to_uppercase(),
            "018f3a5c-7d1e-7b3a-9c55-0242ac120002".to_owned(),
            "018F3A5C7D1E7B3A9C550242AC120002".to_owned(),
            "{018f3a5c-7d1e-7b3a-9c55-0242ac120002}".to_owned(),
            "urn:uuid:018f3a5c-7d1e-7b3a-9c55-0242ac120002".to_owned(),
            hex.replacen("7b", "0x", 1),
            hex.replacen('7', "+", 1),
            hex.replacen("7b63", "a_a_", 1),
        ];
        for text in accepted {
            assert!(ConversationName::parse(user(), &text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_lcs_refuses_is_refused() {
        let hex = "7b63a1c4e5f60718293a4b5c6d7e8f90112233445566778";
        for text in [
            hex,
            "conv_018f3a5c-7d1e-7b3a-9c55-0242ac120002",
            "",
            "abcdef",
            "conv_",
            "zz63a1c4e5f60718293a4b5c6d7e8f901122334455667788",
            "a__a3a1c4e5f60718293a4b5c6d7e8f90112233445566778",
        ] {
            assert!(ConversationName::parse(user(), text).is_none(), "{text}");
        }
    }

    #[test]
    fn one_conversation_has_many_spellings_and_keeps_the_callers() {
        let hex = "7b63a1c4e5f60718293a4b5c6d7e8f901122334455667788";
        let plain = ConversationName::parse(user(), hex).unwrap();
        let prefixed = ConversationName::parse(user(), &format!("conv_{hex}")).unwrap();
        assert_eq!(plain, prefixed);
        assert_eq!(plain.shown, hex);
        let upper = ConversationName::parse(user(), &hex.to_uppercase()).unwrap();
        assert_eq!((upper.id, upper.shown), (plain.id, hex.to_uppercase()));
        let other = ConversationName::parse(UserId::from_text("eve"), hex).unwrap();
        assert_ne!(other.id, plain.id, "P9: an id says nothing of another user's conversation");
    }
}

//! A form's proof that this console made it, for this operator, for this action, not long ago.
//!
//! A browser sends the operator's key by itself, also with what another site's page has it send. That page cannot know
//! this: it is made with the key. Every replica that has the key can make and check it, and nothing is kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How long a form may stand open.
const VALID: TimeDelta = TimeDelta::hours(1);
/// How far the clocks of two replicas may be apart.
const APART: TimeDelta = TimeDelta::minutes(5);

/// What a form is for: the action, the conversation, and the form's own id.
pub(super) type Purpose<'a> = [&'a str; 3];

fn code(key: &[u8; 32], purpose: Purpose<'_>, time: &str) -> Option<Hmac<Sha256>> {
    let mut code = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in ["lcs-console-1", time].into_iter().chain(purpose) {
        code.update(&part.len().to_be_bytes());
        code.update(part.as_bytes());
    }
    Some(code)
}

/// The token of a form that is made now.
pub(super) fn issue(key: &[u8; 32], purpose: Purpose<'_>, now: DateTime<Utc>) -> String {
    let time = now.timestamp().to_string();
    let code = code(key, purpose, &time).map(|code| code.finalize().into_bytes());
    format!("{time}.{}", URL_SAFE_NO_PAD.encode(code.as_deref().unwrap_or_default()))
}

/// Whether `token` is one that was issued for the same, not too long ago.
pub(super) fn holds(key: &[u8; 32], purpose: Purpose<'_>, token: &str, now: DateTime<Utc>) -> bool {
    let issued = || {
        let (time, mac) = token.split_once('.')?;
        let issued = DateTime::from_timestamp(time.parse().ok()?, 0)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        code(key, purpose, time)?.verify_slice(&mac).ok()?;
        Some(issued)
    };
    issued().is_some_and(|issued| (-APART..=VALID).contains(&now.signed_duration_since(issued)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Purpose<'static> = ["delete", "018f3a5c", "1"];

    #[test]
    fn a_token_is_good_for_its_form_its_key_and_its_hour() {
        let now: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        let token = issue(&[1; 32], FORM, now);
        for (hours, minutes, is_good) in
            [(0, 0, true), (0, 60, true), (1, 1, false), (0, -5, true), (0, -6, false), (900_000, 0, false)]
        {
            let then = now + TimeDelta::hours(hours) + TimeDelta::minutes(minutes);
            assert_eq!(holds(&[1; 32], FORM, &token, then), is_good, "{hours} h {minutes} min");
        }
        assert!(!holds(&[2; 32], FORM, &token, now), "another key");
        for other in [["hold", "018f3a5c", "1"], ["delete", "018f3a5", "c1"], ["delete", "018f3a5c", "2"]] {
            assert!(!holds(&[1; 32], other, &token, now), "{other:?}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let now = DateTime::UNIX_EPOCH;
        let (time, mac) = (0, issue(&[1; 32], FORM, now).split_once('.').unwrap().1.to_owned());
        assert!(holds(&[1; 32], FORM, &format!("{time}.{mac}"), now));
        let short = mac.get(..20).unwrap();
        for token in [
            "",
            ".",
            "0.",
            &mac,
            &format!("1.{mac}"),
            &format!("0.{short}"),
            &format!("00.{mac}"),
            "99999999999999999999.AA",
        ] {
            assert!(!holds(&[1; 32], FORM, token, now), "{token}");
        }
    }
}

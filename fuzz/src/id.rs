//! Ids: each text names one thing, always the same one, and no two texts name one user.

use lcs_domain::{AgentId, ConversationId, RequestId, TurnId, UserId};

/// Two texts, parted by the first line's end.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (one, other) = text.split_once('\n').unwrap_or((&text, "ada"));
    users(one, other);
    names(one, other);
    forms(one);
}

fn users(one: &str, other: &str) {
    let (one_user, other_user) = (UserId::from_text(one), UserId::from_text(other));
    assert_eq!(one_user == other_user, one == other, "P9: two texts never name one user");
    // What a user's text has become, written down, is another user's text (a UUID of the caller's is not).
    let again = UserId::from_text(&one_user.to_string());
    assert_eq!(again == one_user, one_user.to_string() == one);
}

fn names(one: &str, other: &str) {
    let (ada, eve) = (UserId::from_text(one), UserId::from_text("eve"));
    let conversation = ConversationId::from_external_id(ada, one);
    assert_eq!(conversation, ConversationId::from_external_id(ada, one));
    assert_eq!(conversation == ConversationId::from_external_id(ada, other), one == other);
    assert_eq!(conversation == ConversationId::from_external_id(eve, one), ada == eve);
    let turn = TurnId::from_idempotency_key(ada, one);
    assert_eq!(turn == TurnId::from_idempotency_key(ada, other), one == other);
    assert_eq!(turn == TurnId::from_idempotency_key(eve, one), ada == eve);
}

/// A text that is an id is one for every kind, and its own form is the same id.
fn forms(text: &str) {
    match text.parse::<ConversationId>() {
        Ok(id) => {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert!(text.parse::<AgentId>().is_ok() && text.parse::<RequestId>().is_ok());
        }
        Err(error) => {
            assert!(text.parse::<TurnId>().is_err() && text.parse::<UserId>().is_err());
            // Shown as Rust writes it, a character takes ten at most.
            assert!(error.to_string().len() < 800, "what is shown of it is bounded");
        }
    }
}

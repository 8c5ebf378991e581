//! What the stores record of what they do by themselves.

use lcs_domain::{
    Actor, AuditAction, AuditDetail, ConversationId, Hold, Keep, NewAuditEvent, PurgeReason,
    PurgedConversation, UserId,
};

/// A user's conversation was deleted.
pub(crate) fn deletion(
    actor: Actor,
    user_id: UserId,
    conversation_id: ConversationId,
    turns: u32,
) -> NewAuditEvent {
    NewAuditEvent {
        on_behalf_of: Some(user_id),
        conversation_id: Some(conversation_id),
        detail: AuditDetail::default().count("turns", turns.into()),
        ..NewAuditEvent::done(actor, AuditAction::ConversationDeleted)
    }
}

/// A batch was purged, with `turns` turns; `None` where nothing was.
pub(crate) fn purge(actor: Actor, purged: &[PurgedConversation], turns: u64) -> Option<NewAuditEvent> {
    if purged.is_empty() {
        return None;
    }
    let count = |reason| purged.iter().filter(|purged| purged.reason == reason).count() as u64;
    let detail = AuditDetail::default()
        .count("expired", count(PurgeReason::Expired))
        .count("deleted", count(PurgeReason::Deleted))
        .count("turns", turns)
        .ids("conversation_ids", purged.iter().map(|purged| purged.conversation_id));
    Some(NewAuditEvent { detail, ..NewAuditEvent::done(actor, AuditAction::Purge) })
}

/// A hold was placed or released.
pub(crate) fn hold_event(actor: Actor, action: AuditAction, hold: &Hold) -> NewAuditEvent {
    NewAuditEvent {
        on_behalf_of: Some(hold.user_id),
        conversation_id: hold.conversation_id,
        detail: AuditDetail::default().id("hold_id", hold.hold_id),
        ..NewAuditEvent::done(actor, action)
    }
}

/// A user's own retention was set; `None`: it was taken back.
pub(crate) fn override_event(actor: Actor, user_id: UserId, keep: Option<Keep>) -> NewAuditEvent {
    let (action, detail) = match keep {
        None => (AuditAction::RetentionRemoved, AuditDetail::default()),
        Some(Keep::Forever) => (AuditAction::RetentionSet, AuditDetail::default().word("keep", "forever")),
        Some(Keep::Days(days)) => {
            (AuditAction::RetentionSet, AuditDetail::default().count("days", days.into()))
        }
    };
    NewAuditEvent { on_behalf_of: Some(user_id), detail, ..NewAuditEvent::done(actor, action) }
}

//! What the stores record of what they do by themselves.

use lcs_domain::{
    Actor, AuditAction, AuditDetail, ConversationId, NewAuditEvent, PurgeReason, PurgedConversation, UserId,
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

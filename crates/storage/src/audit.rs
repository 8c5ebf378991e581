//! What the stores record of what they do by themselves.

use lcs_domain::{
    Actor, ArchiveId, AuditAction, AuditDetail, ConversationId, Hold, Keep, NewAuditEvent, PurgeReason,
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

/// Conversations with `turns` turns were moved to an archive; `None` where none was.
pub(crate) fn archival(
    actor: Actor,
    archive_id: ArchiveId,
    moved: &[ConversationId],
    turns: u64,
) -> Option<NewAuditEvent> {
    let detail = AuditDetail::default()
        .id("archive_id", archive_id)
        .count("conversations", moved.len() as u64)
        .count("turns", turns)
        .ids("conversation_ids", moved.iter().copied());
    (!moved.is_empty()).then(|| NewAuditEvent { detail, ..NewAuditEvent::done(actor, AuditAction::Archive) })
}

/// Conversations with `turns` turns came back from an archive; `None` where none did.
pub(crate) fn restoration(
    actor: Actor,
    archive_id: ArchiveId,
    restored: &[ConversationId],
    turns: u64,
) -> Option<NewAuditEvent> {
    let event = archival(actor, archive_id, restored, turns)?;
    Some(NewAuditEvent { action: AuditAction::Restore, ..event })
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

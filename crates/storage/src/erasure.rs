//! What the stores record of an erasure's steps.

use lcs_domain::erasure::ErasedRows;
use lcs_domain::{AuditDetail, AuditOutcome, ConversationId, Erasure, NewAuditEvent, NewErasure};

/// It was begun.
pub(crate) fn begun(asked: &NewErasure, erasure: &Erasure) -> NewAuditEvent {
    asked.event(erasure, AuditOutcome::Begun, AuditDetail::default())
}

/// So much was `removed` in a step, with these conversations; `None` where nothing was.
pub(crate) fn step(
    asked: &NewErasure,
    erasure: &Erasure,
    removed: ErasedRows,
    conversations: &[ConversationId],
) -> Option<NewAuditEvent> {
    if removed.is_empty() {
        return None;
    }
    let detail = removed.counted(AuditDetail::default().word("step", "removed"));
    let detail = detail.ids("conversation_ids", conversations.iter().copied());
    Some(asked.event(erasure, AuditOutcome::Done, detail))
}

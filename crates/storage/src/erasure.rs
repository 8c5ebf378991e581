//! What the stores record of an erasure's steps.

use lcs_domain::erasure::{ErasedArchive, ErasedRows};
use lcs_domain::{
    AuditDetail, AuditOutcome, ConversationId, Erasure, NewAuditEvent, NewErasure, RepositoryError,
};

/// The noted archives as their column has them; `None` for none.
pub(crate) fn archives_text(archives: &[ErasedArchive]) -> Result<Option<String>, RepositoryError> {
    if archives.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(archives).map(Some).map_err(|error| {
        let reason = "the archives of an erasure cannot be noted".to_owned();
        RepositoryError::Backend { reason, source: Some(Box::new(error)) }
    })
}

/// The noted archives that a column has, or why it has none.
pub(crate) fn archives_of(text: Option<&str>) -> Result<Vec<ErasedArchive>, &'static str> {
    text.map_or(Ok(Vec::new()), |text| serde_json::from_str(text).map_err(|_| "not a list of archives"))
}

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

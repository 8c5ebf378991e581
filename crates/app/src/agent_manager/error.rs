//! What the agent manager may answer instead of a turn.

use lcs_agent_cache::LoadError;
use lcs_domain::agent::AgentError;
use lcs_domain::{Payload, RepositoryError, TurnId};
use thiserror::Error;

use crate::archive::ArchiveError;

/// The agent manager's refusal or failure.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AgentManagerError {
    /// The store refused or failed. The agent was not asked, or its answer is not lost by this.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The agent failed; nothing was stored.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The agent answered, and the turn is not stored, or it is not known whether it is. The answer is
    /// here, so that it is not lost. Where the source can be retried, the same request sent again gets the
    /// stored answer, or has the agent answer again.
    #[error("the agent answered, but the turn is not stored: {source}")]
    NotStored {
        /// The turn's id and idempotency key.
        turn_id: TurnId,
        /// What the agent answered.
        answer: Payload,
        /// Why it is not stored, or why that is not known.
        source: RepositoryError,
    },
    /// What expires could not be archived.
    #[error(transparent)]
    Archive(ArchiveError),
    /// Making the agent failed, for this caller and for all who waited for it with him.
    #[error("{0}")]
    Load(Box<LoadError<AgentManagerError>>),
}

impl AgentManagerError {
    /// The store's error behind this one, where there is one.
    #[must_use]
    pub fn repository_error(&self) -> Option<&RepositoryError> {
        match self {
            Self::Repository(error) | Self::NotStored { source: error, .. } => Some(error),
            Self::Load(error) => match &**error {
                LoadError::Failed(error) => error.repository_error(),
                _ => None,
            },
            Self::Agent(_) | Self::Archive(_) => None,
        }
    }
}

impl AgentManagerError {
    /// The agent's failure behind this one, where there is one.
    #[must_use]
    pub fn agent_error(&self) -> Option<&AgentError> {
        match self {
            Self::Agent(error) => Some(error),
            Self::Load(error) => match &**error {
                LoadError::Failed(error) => error.agent_error(),
                _ => None,
            },
            Self::Repository(_) | Self::NotStored { .. } | Self::Archive(_) => None,
        }
    }
}

impl From<LoadError<AgentManagerError>> for AgentManagerError {
    fn from(error: LoadError<AgentManagerError>) -> Self {
        Self::Load(Box::new(error))
    }
}

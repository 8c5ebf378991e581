//! Conversations, turns and agent states: the types, the rules and the ports of lcs-persistence.
//!
//! This crate is pure. It knows no database, no runtime and no clock but the one it is given:
//! whatever has to be decided the same way by every store is decided here, once.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`id`] | typed ids, how they are made and read |
//! | [`clock`] | where time comes from |
//! | [`payload`], [`metadata`], [`text`] | what can be stored exactly, and the refusal of what cannot |
//! | [`conversation`], [`turn`], [`agent_state`] | the three entities and the commands that change them |
//! | [`request`] | requests that are being answered |
//! | [`journal`] | what is kept while the database is gone |
//! | [`page`] | keyset pages and their cursors |
//! | [`retention`], [`hold`], [`erasure`], [`audit`], [`browse`], [`diagnostic`], [`pool`], [`analytics`], [`database`] | what an operator asks for |
//! | [`transfer`] | whole conversations on their way from one store to another |
//! | [`archive`] | conversations that are kept outside of the store |
//! | [`agent`] | the port behind which a live agent stands |
//! | [`repository`] | the ports that every store implements, and the promises they make |
//! | [`error`] | what a store may answer instead |
//!
//! # Adding a store
//!
//! Implement the traits of [`repository`], hand them out through
//! [`Repositories`], and run `lcs_storage::conformance` on the result. A
//! store, or a decorator over one, is done when that suite passes on it and not before.

pub mod agent;
pub mod agent_state;
pub mod analytics;
pub mod archive;
pub mod audit;
pub mod browse;
pub mod clock;
pub mod conversation;
pub mod database;
pub mod diagnostic;
pub mod durability;
pub mod erasure;
pub mod error;
pub mod hold;
pub mod id;
pub mod journal;
pub mod metadata;
pub mod page;
pub mod payload;
pub mod pool;
pub mod repository;
pub mod request;
pub mod retention;
pub mod search;
pub mod text;
pub mod transfer;
pub mod trouble;
pub mod turn;

pub use agent_state::{AgentState, AgentStateUpdate, SaveAgentState, Saved};
pub use analytics::{Analytics, AnalyticsWindow};
pub use archive::{Archive, ArchiveState};
pub use audit::{Actor, AuditAction, AuditDetail, AuditOutcome, AuditQuery, AuditRecord, NewAuditEvent};
pub use browse::{
    FindConversations, FoundConversation, FoundConversations, IdBeginning, OpenedConversation, Remains,
};
pub use clock::{Clock, ManualClock, SystemClock};
pub use conversation::{
    Conversation, ConversationStatus, ConversationSummary, ConversationUpdate, Head, ListSummaries,
    NewConversation, UnknownStatus,
};
pub use database::DatabaseStatus;
pub use durability::Durability;
pub use erasure::{Erasure, ErasureTarget, NewErasure};
pub use error::{Entity, RepositoryError};
pub use hold::{Hold, HoldTarget, NewHold};
pub use id::{AgentId, ArchiveId, ConversationId, ErasureId, HoldId, RequestId, TurnId, UserId};
pub use metadata::Metadata;
pub use page::{ConversationCursor, ConversationPage, ListConversations, PageLimit, TurnPage, TurnRange};
pub use payload::{Payload, PayloadLimits};
pub use pool::PoolStatus;
pub use repository::{
    AgentStateRepository, AnalyticsRepository, ArchiveRepository, AuditRepository, BrowseRepository,
    Capabilities, ConversationRepository, DiagnosticRepository, ErasureRepository, HoldRepository,
    JournalRepository, Repositories, RequestRepository, RetentionOverrideRepository, RetentionRepository,
    TransferRepository, TurnRepository,
};
pub use request::{BeginRequest, Begun, Interruption, RequestTarget};
pub use retention::{
    Keep, Keeping, NewRetentionOverride, PurgeReason, PurgeReport, PurgedConversation, RetentionOverride,
    RetentionPolicy,
};
pub use search::{SearchConversations, SearchQuery};
pub use text::Text;
pub use turn::{AppendTurn, Appended, NewTurn, Turn};

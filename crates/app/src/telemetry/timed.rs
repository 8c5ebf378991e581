//! A store whose every call is timed and counted. It changes nothing of what is asked or answered.

#![deny(clippy::missing_trait_methods)]

mod archive;
mod browse;
mod erasure;
mod operator;
mod transfer;

use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::StreamExt as _;
use lcs_domain::diagnostic::Finding;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentId, AgentState, AgentStateRepository, AnalyticsRepository, AppendTurn, Appended, ArchiveRepository,
    AuditRepository, BeginRequest, Begun, BrowseRepository, Capabilities, Conversation, ConversationId,
    ConversationPage, ConversationRepository, ConversationSummary, ConversationUpdate, DiagnosticRepository,
    ErasureRepository, Head, HoldRepository, Interruption, Keeping, ListConversations, ListSummaries,
    NewConversation, NewTurn, PageLimit, PoolStatus, PurgeReport, Repositories, RepositoryError, RequestId,
    RequestRepository, RetentionOverrideRepository, RetentionPolicy, RetentionRepository, SaveAgentState,
    Saved, SearchConversations, TransferRepository, Turn, TurnId, TurnPage, TurnRange, TurnRepository,
    UserId,
};
use metrics::{counter, histogram};
use tokio::time::Instant;

/// Counts what a store is asked, how long it takes, and what it refuses.
#[derive(Clone)]
pub struct Timed(Arc<dyn Repositories>);

impl std::fmt::Debug for Timed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Timed").field(&self.0.capabilities()).finish()
    }
}

impl Timed {
    /// This store, timed.
    #[must_use]
    pub const fn over(repositories: Arc<dyn Repositories>) -> Self {
        Self(repositories)
    }
}

/// A call that is under way.
struct Call {
    operation: &'static str,
    begun: Instant,
}

impl Call {
    fn begin(operation: &'static str) -> Self {
        Self { operation, begun: Instant::now() }
    }

    fn failed(&self, error: &RepositoryError) {
        let (operation, kind) = (self.operation, kind(error));
        counter!("lcs_query_errors_total", "operation" => operation, "kind" => kind).increment(1);
    }
}

impl Drop for Call {
    /// One that its caller gave up took its time too.
    fn drop(&mut self) {
        histogram!("lcs_query_duration_seconds", "operation" => self.operation).record(self.begun.elapsed());
    }
}

async fn timed<T>(
    operation: &'static str,
    asked: impl Future<Output = RepositoryResult<T>> + Send,
) -> RepositoryResult<T> {
    let call = Call::begin(operation);
    asked.await.inspect_err(|error| call.failed(error))
}

/// The error's name: never what it says.
const fn kind(error: &RepositoryError) -> &'static str {
    match error {
        RepositoryError::NotFound { .. } => "not_found",
        RepositoryError::AlreadyExists { .. } => "already_exists",
        RepositoryError::Conflict { .. } => "conflict",
        RepositoryError::Closed { .. } => "closed",
        RepositoryError::Held { .. } => "held",
        RepositoryError::IdempotencyMismatch { .. } => "idempotency_mismatch",
        RepositoryError::Invalid { .. } => "invalid",
        RepositoryError::TooLarge { .. } => "too_large",
        RepositoryError::Unavailable { .. } => "unavailable",
        RepositoryError::OutcomeUnknown { .. } => "outcome_unknown",
        RepositoryError::Overloaded { .. } => "overloaded",
        RepositoryError::ReadOnly { .. } => "read_only",
        RepositoryError::StorageFull { .. } => "storage_full",
        RepositoryError::Denied { .. } => "denied",
        RepositoryError::SchemaSkew { .. } => "schema_skew",
        RepositoryError::Inconsistent { .. } => "inconsistent",
        RepositoryError::Backend { .. } => "backend",
        _ => "other",
    }
}

#[async_trait]
impl Repositories for Timed {
    fn conversations(&self) -> &dyn ConversationRepository {
        self
    }

    fn turns(&self) -> &dyn TurnRepository {
        self
    }

    fn agent_states(&self) -> &dyn AgentStateRepository {
        self
    }

    fn requests(&self) -> &dyn RequestRepository {
        self
    }

    fn retention(&self) -> &dyn RetentionRepository {
        self
    }

    fn retention_overrides(&self) -> &dyn RetentionOverrideRepository {
        self
    }

    fn holds(&self) -> &dyn HoldRepository {
        self
    }

    fn erasures(&self) -> &dyn ErasureRepository {
        self
    }

    fn audit(&self) -> &dyn AuditRepository {
        self
    }

    fn browse(&self) -> &dyn BrowseRepository {
        self
    }

    fn transfers(&self) -> &dyn TransferRepository {
        self
    }

    fn archives(&self) -> &dyn ArchiveRepository {
        self
    }

    fn diagnostics(&self) -> &dyn DiagnosticRepository {
        self
    }

    fn analytics(&self) -> &dyn AnalyticsRepository {
        self
    }

    async fn ping(&self) -> RepositoryResult<()> {
        timed("ping", self.0.ping()).await
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn pool_status(&self) -> Option<PoolStatus> {
        self.0.pool_status()
    }
}

#[async_trait]
impl ConversationRepository for Timed {
    async fn create(&self, user_id: UserId, new: NewConversation) -> RepositoryResult<Conversation> {
        timed("conversation.create", self.0.conversations().create(user_id, new)).await
    }

    async fn adopt(
        &self,
        user_id: UserId,
        new: NewConversation,
        turns: Vec<NewTurn>,
    ) -> RepositoryResult<Conversation> {
        timed("conversation.adopt", self.0.conversations().adopt(user_id, new, turns)).await
    }

    async fn was_deleted(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<bool> {
        let asked = self.0.conversations().was_deleted(user_id, conversation_id);
        timed("conversation.was_deleted", asked).await
    }

    async fn get(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<Conversation>> {
        timed("conversation.get", self.0.conversations().get(user_id, conversation_id)).await
    }

    async fn head(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<Option<Head>> {
        timed("conversation.head", self.0.conversations().head(user_id, conversation_id)).await
    }

    async fn list(&self, user_id: UserId, list: ListConversations) -> RepositoryResult<ConversationPage> {
        timed("conversation.list", self.0.conversations().list(user_id, list)).await
    }

    fn summaries(
        &self,
        user_id: UserId,
        list: ListSummaries,
    ) -> BoxStream<'static, RepositoryResult<ConversationSummary>> {
        // Until the last row is read, or nobody wants more.
        let call = Call::begin("conversation.summaries");
        let summaries = self.0.conversations().summaries(user_id, list);
        summaries
            .inspect(move |summary| {
                if let Err(error) = summary {
                    call.failed(error);
                }
            })
            .boxed()
    }

    async fn search(
        &self,
        user_id: UserId,
        search: SearchConversations,
    ) -> RepositoryResult<Vec<ConversationSummary>> {
        timed("conversation.search", self.0.conversations().search(user_id, search)).await
    }

    async fn update(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        update: ConversationUpdate,
    ) -> RepositoryResult<Conversation> {
        timed("conversation.update", self.0.conversations().update(user_id, conversation_id, update)).await
    }

    async fn delete(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<bool> {
        timed("conversation.delete", self.0.conversations().delete(user_id, conversation_id)).await
    }
}

#[async_trait]
impl TurnRepository for Timed {
    async fn append(&self, user_id: UserId, append: AppendTurn) -> RepositoryResult<Appended> {
        let result = timed("turn.append", self.0.turns().append(user_id, append)).await;
        let outcome = match &result {
            Ok(appended) if appended.replayed => "replayed",
            Ok(_) => "appended",
            Err(RepositoryError::Conflict { .. }) => "conflict",
            Err(_) => "failed",
        };
        counter!("lcs_appends_total", "outcome" => outcome).increment(1);
        result
    }

    async fn get(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        turn_id: TurnId,
    ) -> RepositoryResult<Option<Turn>> {
        timed("turn.get", self.0.turns().get(user_id, conversation_id, turn_id)).await
    }

    async fn page(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        timed("turn.page", self.0.turns().page(user_id, conversation_id, range, limit)).await
    }
}

#[async_trait]
impl AgentStateRepository for Timed {
    async fn get(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<Option<AgentState>> {
        timed("agent_state.get", self.0.agent_states().get(user_id, agent_id)).await
    }

    async fn get_by_conversation(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<AgentState>> {
        timed(
            "agent_state.get_by_conversation",
            self.0.agent_states().get_by_conversation(user_id, conversation_id),
        )
        .await
    }

    async fn save(&self, user_id: UserId, save: SaveAgentState) -> RepositoryResult<Saved> {
        timed("agent_state.save", self.0.agent_states().save(user_id, save)).await
    }

    async fn delete(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<bool> {
        timed("agent_state.delete", self.0.agent_states().delete(user_id, agent_id)).await
    }
}

#[async_trait]
impl RequestRepository for Timed {
    async fn begin(&self, user_id: UserId, begin: BeginRequest) -> RepositoryResult<Begun> {
        timed("request.begin", self.0.requests().begin(user_id, begin)).await
    }

    async fn renew(
        &self,
        requests: &[(UserId, RequestId)],
        lease: Duration,
    ) -> RepositoryResult<Vec<RequestId>> {
        timed("request.renew", self.0.requests().renew(requests, lease)).await
    }

    async fn finish(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()> {
        timed("request.finish", self.0.requests().finish(user_id, request_id)).await
    }

    async fn abandon(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()> {
        timed("request.abandon", self.0.requests().abandon(user_id, request_id)).await
    }

    async fn interrupt(
        &self,
        user_id: UserId,
        request_id: RequestId,
    ) -> RepositoryResult<Option<Interruption>> {
        timed("request.interrupt", self.0.requests().interrupt(user_id, request_id)).await
    }
}

#[async_trait]
impl RetentionRepository for Timed {
    async fn count_due(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        timed("retention.count_due", self.0.retention().count_due(policy)).await
    }

    async fn count_held(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        timed("retention.count_held", self.0.retention().count_held(policy)).await
    }

    async fn keeping(
        &self,
        user_id: UserId,
        conversations: Vec<ConversationId>,
    ) -> RepositoryResult<Keeping> {
        timed("retention.keeping", self.0.retention().keeping(user_id, conversations)).await
    }

    async fn purge_batch(&self, policy: RetentionPolicy, limit: PageLimit) -> RepositoryResult<PurgeReport> {
        let report = timed("retention.purge_batch", self.0.retention().purge_batch(policy, limit)).await?;
        for purged in &report.purged {
            counter!("lcs_retention_purged_total", "reason" => purged.reason.as_str()).increment(1);
        }
        Ok(report)
    }

    async fn take_turn(&self, count: u32, per_second: NonZeroU32) -> RepositoryResult<Duration> {
        timed("retention.take_turn", self.0.retention().take_turn(count, per_second)).await
    }

    async fn purge_requests(&self, limit: PageLimit) -> RepositoryResult<u64> {
        timed("retention.purge_requests", self.0.retention().purge_requests(limit)).await
    }
}

#[async_trait]
impl DiagnosticRepository for Timed {
    async fn diagnose(&self) -> RepositoryResult<Vec<Finding>> {
        timed("diagnostic.diagnose", self.0.diagnostics().diagnose()).await
    }
}

//! An export: pages of heads and of turns, in one transaction that sees one snapshot.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{ExportFilter, Exported};
use lcs_domain::{AgentState, Conversation, Turn};
use uuid::Uuid;

use super::{Begin, Commit, HeadRow, uuids, words};
use crate::postgres::Postgres;
use crate::postgres::connect::Purpose;
use crate::postgres::error::Fault;
use crate::postgres::pool::Session;
use crate::postgres::row::{ColumnsOf, OwnedAgentStateRow, OwnedConversationRow, TurnRow};
use crate::postgres::statement::statement;
use crate::row::{AgentStateRecord, ConversationRecord, Row, TurnRecord};
use crate::stream::{OPERATORS_PATIENCE, Rows, streamed_for};

/// How many heads are read at once: each may come with a state of megabytes.
const HEADS: i64 = 32;
/// How many turns one statement reads.
const TURNS: u32 = 1_000;

statement! {
    /// The next conversations, and their agents' states.
    Page(include_str!("page.sql")) of Asked => Heads {
        after as SqlUuid,
        user_id as Nullable<SqlUuid>,
        changed_from as Nullable<Timestamptz>,
        changed_before as Nullable<Timestamptz>,
        statuses as Array<SqlText>,
        limit as BigInt,
    }
}

statement! {
    /// The next ones of these conversations.
    Named(include_str!("named.sql")) of Asked => Heads {
        after as SqlUuid,
        user_id as Nullable<SqlUuid>,
        changed_from as Nullable<Timestamptz>,
        changed_before as Nullable<Timestamptz>,
        statuses as Array<SqlText>,
        limit as BigInt,
        conversation_ids as Array<SqlUuid>,
    }
}

statement! {
    /// Turns of some conversations.
    Turns(include_str!("turns.sql")) -> ColumnsOf<TurnRow> {
        conversation_ids: Vec<Uuid> as Array<SqlUuid>,
        after: i32 as Integer,
        limit: i64 as BigInt,
    }
}

statement! {
    /// Lets the transaction wait for its reader, between two statements and in the middle of one.
    WaitForReader(
        "-- $1 how long\nSELECT set_config('idle_in_transaction_session_timeout', $1, true) \
         || set_config('statement_timeout', '0', true)"
    ) -> SqlText {
        milliseconds: String as SqlText,
    }
}

type Heads = (ColumnsOf<OwnedConversationRow>, Nullable<ColumnsOf<OwnedAgentStateRow>>);

/// What a page of heads is asked for by.
pub(super) struct Asked {
    after: Uuid,
    user_id: Option<Uuid>,
    changed_from: Option<DateTime<Utc>>,
    changed_before: Option<DateTime<Utc>>,
    statuses: Vec<&'static str>,
    limit: i64,
    conversation_ids: Vec<Uuid>,
}

/// A conversation whose turns are still to be read.
struct Head {
    conversation: Conversation,
    agent_state: Option<AgentState>,
}

impl TryFrom<HeadRow> for Head {
    type Error = lcs_domain::RepositoryError;

    fn try_from(row: HeadRow) -> RepositoryResult<Self> {
        let state = row.agent_state.map(AgentStateRecord::from);
        Ok(Self {
            conversation: ConversationRecord::from(row.conversation).try_into()?,
            agent_state: state.map(AgentState::try_from).transpose()?,
        })
    }
}

/// What comes of some conversations, in order: heads are put before the turns that follow them, and turns are
/// counted.
struct Weaver<I> {
    heads: I,
    /// Whose turns are being read, how many it has, and how many have come.
    current: Option<(Uuid, u32, u32)>,
}

impl<I: Iterator<Item = Head>> Weaver<I> {
    /// The next head, into `woven`; `false` where there is none.
    fn head(&mut self, woven: &mut Vec<Exported>) -> RepositoryResult<bool> {
        self.refuse_missing()?;
        let Some(Head { conversation, agent_state }) = self.heads.next() else { return Ok(false) };
        self.current = Some((conversation.conversation_id.into(), conversation.turn_count, 0));
        woven.push(Exported::Conversation(Box::new(conversation)));
        woven.extend(agent_state.map(|state| Exported::AgentState(Box::new(state))));
        Ok(true)
    }

    /// The turn, behind the heads that are before it.
    fn turn(&mut self, row: TurnRow) -> RepositoryResult<Vec<Exported>> {
        let turn: Turn = TurnRecord::from(row).try_into()?;
        let conversation_id = Uuid::from(turn.conversation_id);
        let mut woven = Vec::with_capacity(1);
        while self.current.is_none_or(|(current, _, _)| current != conversation_id)
            && self.head(&mut woven)?
        {}
        if let Some((_, _, seen)) = &mut self.current {
            *seen += 1;
            if turn.turn_number != *seen {
                return Err(miscounted(conversation_id));
            }
        }
        woven.push(Exported::Turn(Box::new(turn)));
        Ok(woven)
    }

    /// The heads behind the last turn.
    fn rest(mut self) -> RepositoryResult<Vec<Exported>> {
        let mut woven = Vec::new();
        while self.head(&mut woven)? {}
        Ok(woven)
    }

    fn refuse_missing(&self) -> RepositoryResult<()> {
        match self.current {
            Some((id, expected, seen)) if expected != seen => Err(miscounted(id)),
            _ => Ok(()),
        }
    }
}

fn miscounted(conversation_id: Uuid) -> lcs_domain::RepositoryError {
    let row = Row { table: "conversations", key: conversation_id };
    row.inconsistent("turn_count", "its turns are not numbered from 1 to this: run `lcs-persistence doctor`")
}

impl Postgres {
    pub(super) fn stream_export(
        &self,
        filter: ExportFilter,
    ) -> BoxStream<'static, RepositoryResult<Exported>> {
        let store = self.clone();
        let span = tracing::info_span!("db.transfer.export");
        streamed_for(OPERATORS_PATIENCE, span, move |mut rows| async move {
            store.export_to(filter, &mut rows).await.map_err(Fault::into_error)
        })
        .map_ok(|woven: Vec<Exported>| stream::iter(woven).map(Ok))
        .try_flatten()
        .boxed()
    }

    async fn export_to(&self, filter: ExportFilter, rows: &mut Rows<Vec<Exported>>) -> Result<(), Fault> {
        let mut session = self.pool().own_session(&mut self.tries(Purpose::Maintenance)).await?;
        session.load::<i32>(&Begin {}).await?;
        wait_for_reader(&mut session).await?;
        let is_named = filter.conversation_ids.is_some();
        let mut asked = Asked {
            after: Uuid::nil(),
            user_id: filter.user_id.map(Uuid::from),
            changed_from: filter.changed_from,
            changed_before: filter.changed_before,
            statuses: words(&filter.statuses),
            limit: HEADS,
            conversation_ids: filter.conversation_ids.map(uuids).unwrap_or_default(),
        };
        loop {
            let heads = if is_named {
                session.load::<HeadRow>(&Named(&asked)).await?
            } else {
                session.load::<HeadRow>(&Page(&asked)).await?
            };
            let heads = heads.into_iter().map(Head::try_from).collect::<RepositoryResult<Vec<_>>>()?;
            let Some(last) = heads.last() else { break };
            asked.after = last.conversation.conversation_id.into();
            if !hand_on(&mut session, heads, rows).await? {
                return Ok(());
            }
        }
        session.load::<i32>(&Commit {}).await?;
        Ok(())
    }
}

/// Lets the transaction of this session wait as long as its reader may stand still.
pub(in crate::postgres) async fn wait_for_reader(session: &mut Session) -> Result<(), Fault> {
    let milliseconds = (2 * OPERATORS_PATIENCE).as_millis().to_string();
    session.load::<String>(&WaitForReader { milliseconds }).await?;
    Ok(())
}

/// Hands these conversations on with their turns; whether anybody still reads.
async fn hand_on(
    session: &mut Session,
    heads: Vec<Head>,
    rows: &mut Rows<Vec<Exported>>,
) -> Result<bool, Fault> {
    let mut heads = heads.into_iter().peekable();
    while heads.peek().is_some() {
        // As many as one statement reads the turns of; and one at least, which then is read in pieces.
        let (mut group, mut expected) = (Vec::new(), 0_u32);
        while let Some(head) = heads.next_if(|head| {
            group.is_empty() || expected.saturating_add(head.conversation.turn_count) <= TURNS
        }) {
            expected = expected.saturating_add(head.conversation.turn_count);
            group.push(head);
        }
        let conversation_ids = group.iter().map(|head| head.conversation.conversation_id.into()).collect();
        let mut weaver = Weaver { heads: group.into_iter(), current: None };
        let mut turns = Turns { conversation_ids, after: 0, limit: i64::from(expected.max(TURNS)) + 1 };
        if expected > TURNS {
            turns.limit = TURNS.into();
        }
        for _ in 0..=expected / TURNS {
            session.hand_on(&turns, rows, |row: TurnRow| weaver.turn(row)).await?;
            turns.after = turns.after.saturating_add(TURNS.cast_signed());
        }
        if !rows.send(weaver.rest()?).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

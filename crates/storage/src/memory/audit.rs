//! The audit log in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lcs_domain::audit::AuditHead;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AuditQuery, AuditRecord, AuditRepository, NewAuditEvent};

use super::{Memory, Tables};

impl Tables {
    /// Adds to the log, under the lock under which the rest is done.
    pub(super) fn record(&mut self, event: NewAuditEvent, now: DateTime<Utc>) {
        let record = event.chained(self.audit_head(), now);
        self.audit.push(record);
    }

    pub(super) fn audit_head(&self) -> AuditHead {
        self.audit
            .last()
            .map_or_else(AuditHead::default, |last| AuditHead { sequence: last.sequence, hash: last.hash })
    }
}

#[async_trait]
impl AuditRepository for Memory {
    #[tracing::instrument(name = "db.audit.record", skip_all, fields(action = %event.action))]
    async fn record(&self, event: NewAuditEvent) -> RepositoryResult<()> {
        let mut tables = self.tables();
        tables.record(event, self.clock.now());
        Ok(())
    }

    #[tracing::instrument(name = "db.audit.records", skip_all)]
    async fn records(&self, query: AuditQuery) -> RepositoryResult<Vec<AuditRecord>> {
        let tables = self.tables();
        let limit = query.limit.get() as usize;
        let asked = tables.audit.iter().filter(|record| query.is_about(record));
        Ok(if let Some(after) = query.after {
            asked.filter(|record| record.sequence > after).take(limit).cloned().collect()
        } else {
            let mut newest: Vec<_> = asked.rev().take(limit).cloned().collect();
            newest.reverse();
            newest
        })
    }

    #[tracing::instrument(name = "db.audit.chain_head", skip_all)]
    async fn chain_head(&self) -> RepositoryResult<AuditHead> {
        Ok(self.tables().audit_head())
    }
}

//! L1, L11 and what comes back in L3: whether what was acknowledged is there in the end, and what was deleted is not.

use lcs_domain::Durability;

use super::conversation::{Append, Conversation, Conversations};
use super::{Kind, Verdict};

pub(super) fn check(conversation: &Conversation<'_>, all: &Conversations<'_>, verdict: &mut Verdict) {
    reaped(conversation, verdict);
    resurrected(conversation, verdict);
    let Some((page, _)) = conversation.last else {
        if conversation.created.is_some() {
            let what = "it was not read in the end".to_owned();
            verdict.add(Kind::Liveness, conversation.number, what);
        }
        return;
    };
    if page.is_none() && conversation.gone_from.is_some() {
        return;
    }
    let acknowledged =
        conversation.appends.iter().filter_map(|append| Some((append, append.outcome.ok()?.1)));
    for (append, durability) in acknowledged {
        if !conversation.places.contains_key(&append.element) {
            missing(conversation, append, durability, all, verdict);
        }
    }
    if page.is_none() && conversation.durable().is_some() {
        verdict.add(Kind::Lost, conversation.number, "the conversation is not there in the end".to_owned());
    }
}

fn missing(
    conversation: &Conversation<'_>,
    append: &Append<'_>,
    durability: Durability,
    all: &Conversations<'_>,
    verdict: &mut Verdict,
) {
    let kind = match durability {
        // It said so itself; the tally counts them.
        Durability::Volatile => return,
        Durability::Journaled if all.refused.contains(&append.element) => return,
        Durability::Journaled => Kind::DurabilityLie,
        Durability::Durable if all.promoted_ns.is_some_and(|at| append.record.return_ns < at) => {
            Kind::DurabilityLie
        }
        Durability::Durable => Kind::Lost,
    };
    let what = format!("element {} was acknowledged as {durability} and is not there", append.element);
    verdict.add(kind, conversation.number, what);
}

/// Retention removes nothing that has woken up since it was idle.
fn reaped(conversation: &Conversation<'_>, verdict: &mut Verdict) {
    let (Some(aged_ns), true) = (conversation.aged_at, conversation.is_purged) else { return };
    for append in &conversation.appends {
        if append.outcome.durable().is_some() && append.record.invoke_ns > aged_ns {
            let what = format!("element {} had woken it up when retention removed it", append.element);
            verdict.add(Kind::Lost, conversation.number, what);
        }
    }
}

/// What is known to be gone is never seen again.
fn resurrected(conversation: &Conversation<'_>, verdict: &mut Verdict) {
    let Some(gone_ns) = conversation.gone_at else { return };
    let pages = conversation.pages.iter().map(|shown| shown.record);
    let states = conversation.states.iter().map(|shown| shown.record);
    let appends = conversation.appends.iter().filter(|append| append.outcome.ok().is_some());
    let puts = conversation.puts.iter().filter(|put| put.outcome.ok().is_some());
    let seen = pages.chain(states).chain(appends.map(|it| it.record)).chain(puts.map(|it| it.record));
    for record in seen.filter(|record| record.invoke_ns > gone_ns) {
        let what = format!("client {} was answered after it had been deleted", record.client);
        verdict.add(Kind::Phantom, conversation.number, what);
    }
    if conversation.is_whole() {
        let what = "it had been deleted and is there in the end".to_owned();
        verdict.add(Kind::Phantom, conversation.number, what);
    }
}

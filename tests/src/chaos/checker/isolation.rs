//! L10: nobody sees what is another user's, and everybody sees what is his.

use lcs_domain::Durability;

use super::conversation::{Conversation, Conversations};
use super::{Kind, Verdict};
use crate::chaos::history::Record;

pub(super) fn check(conversation: &Conversation<'_>, _all: &Conversations<'_>, verdict: &mut Verdict) {
    let Some(owner) = conversation.owner() else { return };
    let pages = conversation.pages.iter().map(|shown| shown.record);
    let states = conversation.states.iter().map(|shown| shown.record);
    let appends = conversation.appends.iter().filter(|append| append.outcome.ok().is_some());
    let puts = conversation.puts.iter().filter(|put| put.outcome.ok().is_some());
    let done = pages.chain(states).chain(appends.map(|it| it.record)).chain(puts.map(|it| it.record));
    for record in done.filter(|record| record.user != owner) {
        let what = format!("user {} was answered, and it is user {owner}'s", record.user);
        verdict.add(Kind::Leak, conversation.number, what);
    }
}

/// A list holds the user's own conversations: all of them, and none that is gone.
pub(super) fn check_lists(all: &Conversations<'_>, verdict: &mut Verdict) {
    for list in &all.lists {
        let user = list.record.user;
        for conversation in list.value.iter().filter_map(|number| all.get(*number)) {
            if conversation.owner().is_some_and(|owner| owner != user) {
                let what = format!("it was listed to user {user}");
                verdict.add(Kind::Leak, conversation.number, what);
            }
            if conversation.gone_at.is_some_and(|gone_ns| gone_ns < list.record.invoke_ns) {
                verdict.add(
                    Kind::Phantom,
                    conversation.number,
                    "it was listed after it was deleted".to_owned(),
                );
            }
        }
        if list.durability == Durability::Durable {
            for conversation in all.all().filter(|it| must_be_listed(it, list.record)) {
                if !list.value.contains(&conversation.number) {
                    verdict.add(Kind::Stale, conversation.number, "it was left out of a list".to_owned());
                }
            }
        }
    }
}

fn must_be_listed(conversation: &Conversation<'_>, list: &Record) -> bool {
    let may_be_gone = conversation.gone_from.is_some_and(|from_ns| from_ns < list.return_ns);
    conversation.owner() == Some(list.user)
        && conversation.durable().is_some_and(|created| created.return_ns < list.invoke_ns)
        && !may_be_gone
}

//! L8 and L9: agent states are made one from the other, and stand or fall with their turn.

use std::collections::HashMap;

use lcs_domain::Durability;

use super::conversation::{Conversation, Conversations};
use super::{Kind, Verdict};
use crate::chaos::history::{Element, Seen};

pub(super) fn check(conversation: &Conversation<'_>, all: &Conversations<'_>, verdict: &mut Verdict) {
    compare_and_set(conversation, verdict);
    let durable = conversation.states.iter().filter(|shown| shown.durability == Durability::Durable);
    let last = conversation.last.iter().filter_map(|(_, state)| *state);
    let seen: Vec<&Seen> = durable.map(|shown| shown.value).chain(last).collect();
    let mut at = HashMap::new();
    for seen in seen.into_iter().filter(|seen| seen.revision > 0) {
        if *at.entry(seen.revision).or_insert(seen.element) != seen.element {
            let what = format!("revision {} is two states", seen.revision);
            verdict.add(Kind::LostUpdate, conversation.number, what);
        }
        made_from_the_one_before(conversation, seen, all, verdict);
        stands_with_its_turn(conversation, seen, verdict);
    }
    not_behind_its_turns(conversation, verdict);
    all_counted(conversation, verdict);
}

/// Of all that was made from one revision, one is stored.
fn compare_and_set(conversation: &Conversation<'_>, verdict: &mut Verdict) {
    let puts = conversation.puts.iter().filter(|put| put.outcome.durable().is_some());
    let appends = conversation.appends.iter().filter(|append| append.outcome.durable().is_some());
    let appends = appends.filter_map(|append| Some((append.state_from?, append.element)));
    let mut made: HashMap<u64, Element> = HashMap::new();
    for (from, element) in puts.map(|put| (put.from, put.element)).chain(appends) {
        if let Some(other) = made.insert(from, element) {
            let what = format!("{other} and {element} were both made from revision {from}");
            verdict.add(Kind::LostUpdate, conversation.number, what);
        }
    }
    for put in &conversation.puts {
        if let Some(revision) = put.outcome.durable().filter(|revision| **revision != put.from + 1) {
            let what = format!("revision {revision} was made from {}", put.from);
            verdict.add(Kind::LostUpdate, conversation.number, what);
        }
    }
}

fn made_from_the_one_before(
    conversation: &Conversation<'_>,
    seen: &Seen,
    all: &Conversations<'_>,
    verdict: &mut Verdict,
) {
    let (kind, what) = match all.written.get(&seen.element) {
        None => (Kind::Phantom, "was never written"),
        Some(written) if written.record.conversation != conversation.number => {
            (Kind::Leak, "is another conversation's")
        }
        Some(written) if written.is_not_done => (Kind::Phantom, "was refused"),
        Some(written) if written.state_from.map(|from| from + 1) != Some(seen.revision) => {
            (Kind::LostUpdate, "was made from another revision")
        }
        Some(_) => return,
    };
    let Seen { revision, element, .. } = seen;
    verdict.add(kind, conversation.number, format!("state {element} of revision {revision} {what}"));
}

/// A state that came with a turn has seen just that turn last, and the turn is there.
fn stands_with_its_turn(conversation: &Conversation<'_>, seen: &Seen, verdict: &mut Verdict) {
    let Some(append) = conversation.appends.iter().find(|append| append.element == seen.element) else {
        return;
    };
    let place = conversation.place(append);
    // Of a conversation that is gone not every turn was read.
    let is_known = conversation.is_whole() || place.is_some();
    if is_known && place != Some(seen.through_turn) {
        let what =
            format!("state {} has seen turn {}, its own is {place:?}", seen.element, seen.through_turn);
        verdict.add(Kind::Torn, conversation.number, what);
    }
}

/// Whoever reads a state and then the turns finds those that the state has seen.
fn not_behind_its_turns(conversation: &Conversation<'_>, verdict: &mut Verdict) {
    let mut seen: Vec<(u64, u32)> = conversation
        .states
        .iter()
        .filter(|shown| shown.durability == Durability::Durable)
        .map(|shown| (shown.record.return_ns, shown.value.through_turn))
        .collect();
    seen.sort_unstable();
    let mut most = 0;
    for (_, turn) in &mut seen {
        most = most.max(*turn);
        *turn = most;
    }
    for page in conversation.pages.iter().filter(|shown| shown.durability == Durability::Durable) {
        let before = seen.partition_point(|(at_ns, _)| *at_ns < page.record.invoke_ns);
        let turn = before.checked_sub(1).and_then(|index| seen.get(index)).map_or(0, |seen| seen.1);
        if page.value.turn_count < turn {
            let count = page.value.turn_count;
            let what = format!("a state had seen turn {turn}, then there were {count} turns");
            verdict.add(Kind::Torn, conversation.number, what);
        }
    }
}

/// In the end there are as many revisions as states that were stored, those of turns with them.
fn all_counted(conversation: &Conversation<'_>, verdict: &mut Verdict) {
    let Some((Some(_), state)) = conversation.last else { return };
    let degraded = |durability| durability != Durability::Durable;
    let appends = &conversation.appends;
    if appends.iter().any(|append| append.outcome.ok().is_some_and(|(_, said)| degraded(said)))
        || conversation.puts.iter().any(|put| put.outcome.ok().is_some_and(|(_, said)| degraded(said)))
    {
        // A journaled state may have lost its place to another replica's: it is in the list of conflicts.
        return;
    }
    let with_turn = appends
        .iter()
        .filter(|append| append.state_from.is_some() && conversation.places.contains_key(&append.element))
        .count();
    let saved = conversation.puts.iter().filter(|put| put.outcome.durable().is_some()).count();
    let perhaps = conversation
        .puts
        .iter()
        .filter(|put| put.outcome.durable().is_none() && !put.outcome.is_not_done())
        .count();
    let revision = state.map_or(0, |seen| usize::try_from(seen.revision).unwrap_or(usize::MAX));
    let stored = with_turn + saved;
    if !(stored..=stored + perhaps).contains(&revision) {
        let what =
            format!("revision {revision} in the end, and {stored} to {} were stored", stored + perhaps);
        verdict.add(Kind::Torn, conversation.number, what);
    }
}

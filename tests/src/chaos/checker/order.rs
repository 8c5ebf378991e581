//! L2, L3, L4, L5, L7 and the torn page of L8: which turns stand where.

use std::collections::{HashMap, HashSet};

use lcs_domain::Durability;

use super::conversation::{Conversation, Conversations};
use super::{Kind, Verdict};
use crate::chaos::history::{Page, Record, Turn};

pub(super) fn check(conversation: &Conversation<'_>, all: &Conversations<'_>, verdict: &mut Verdict) {
    let number = conversation.number;
    if let Some((Some(page), _)) = conversation.last {
        numbered(page, number, "in the end", verdict);
    }
    let mut seen = HashSet::new();
    let last = conversation.last.iter().filter_map(|(page, _)| *page).map(|page| (page, None));
    let shown = conversation.pages.iter().map(|shown| (shown.value, Some(shown.record)));
    for (page, record) in last.chain(shown) {
        for turn in &page.turns {
            known(conversation, turn, record, &mut seen, all, verdict);
        }
        repeated(page, number, verdict);
    }
    for shown in &conversation.pages {
        // What a replica shows without its database may be numbered otherwise in the end, and says so.
        if shown.durability == Durability::Durable {
            numbered(shown.value, number, "in a page", verdict);
            for turn in &shown.value.turns {
                placed(conversation, turn, verdict);
            }
        }
    }
    real_time(conversation, verdict);
}

/// The numbers in a page are those that it has to hold.
fn numbered(page: &Page, number: u64, place: &str, verdict: &mut Verdict) {
    let first = match page.after {
        Some(after) => after + 1,
        None => page.turn_count.saturating_sub(page.limit) + 1,
    };
    let last = page.turn_count.min(first.saturating_add(page.limit) - 1);
    let held: Vec<u32> = page.turns.iter().map(|turn| turn.number).collect();
    if held.iter().copied().eq(first..=last) {
        return;
    }
    let is_consecutive = held.iter().zip(held.iter().skip(1)).all(|(one, next)| one + 1 == *next);
    let kind = if is_consecutive { Kind::Torn } else { Kind::Gap };
    let ends = (held.first(), held.last());
    verdict.add(
        kind,
        number,
        format!("{place}, {} turns from {ends:?} in place of {first} to {last}", held.len()),
    );
}

fn repeated(page: &Page, number: u64, verdict: &mut Verdict) {
    let mut places = HashMap::new();
    for turn in &page.turns {
        if let Some(other) = places.insert(turn.element, turn.number) {
            let what = format!("element {} is turn {other} and turn {}", turn.element, turn.number);
            verdict.add(Kind::Duplicate, number, what);
        }
    }
}

/// Somebody wrote this turn here, before it was read, and was not told that it was refused.
fn known(
    conversation: &Conversation<'_>,
    turn: &Turn,
    shown: Option<&Record>,
    seen: &mut HashSet<(u64, u64)>,
    all: &Conversations<'_>,
    verdict: &mut Verdict,
) {
    let written = all.written.get(&turn.element);
    if let (Some(written), Some(shown)) = (written, shown)
        && shown.return_ns < written.record.invoke_ns
    {
        let what = format!("element {} was read before it was written", turn.element);
        verdict.add(Kind::Phantom, conversation.number, what);
    }
    if !seen.insert((turn.element, turn.digest)) {
        return;
    }
    let what = match written {
        None => "was never written",
        Some(written) if written.record.conversation != conversation.number => {
            let is_foreign = Some(written.record.user) != conversation.owner();
            let kind = if is_foreign { Kind::Leak } else { Kind::Phantom };
            let from = written.record.conversation;
            verdict.add(
                kind,
                conversation.number,
                format!("element {} of conversation {from}", turn.element),
            );
            return;
        }
        Some(written) if written.digest != Some(turn.digest) => "has other content than was written",
        Some(written) if written.is_not_done => "was refused",
        Some(_) => return,
    };
    verdict.add(Kind::Phantom, conversation.number, format!("element {} {what}", turn.element));
}

/// A turn that was read stands where it stood.
fn placed(conversation: &Conversation<'_>, turn: &Turn, verdict: &mut Verdict) {
    let stands = conversation.reference.get(&turn.number).map(|turn| turn.element);
    if stands != Some(turn.element) {
        let what = format!("element {} was turn {}, which is {stands:?}", turn.element, turn.number);
        verdict.add(Kind::Reorder, conversation.number, what);
    }
}

/// What was acknowledged before another began stands before it, and where it was said to.
fn real_time(conversation: &Conversation<'_>, verdict: &mut Verdict) {
    for append in &conversation.appends {
        let said = append.outcome.durable().and_then(|placed| placed.turn);
        let stands = conversation.places.get(&append.element).copied();
        if let (Some(said), Some(stands)) = (said, stands)
            && said != stands
        {
            let what = format!("element {} was said to be turn {said} and is {stands}", append.element);
            verdict.add(Kind::RealTime, conversation.number, what);
        }
    }
    let mut placed: Vec<_> = conversation
        .appends
        .iter()
        .filter_map(|append| Some((*conversation.places.get(&append.element)?, append)))
        .collect();
    placed.sort_unstable_by_key(|(place, _)| *place);
    // From the end: the earliest acknowledgement of all that stand behind.
    let mut earliest: Option<(u64, u64)> = None;
    for (_, append) in placed.iter().rev() {
        if let Some((acknowledged_ns, element)) = earliest
            && acknowledged_ns < append.record.invoke_ns
        {
            let what = format!(
                "element {element} was acknowledged before {} began, and is behind it",
                append.element
            );
            verdict.add(Kind::RealTime, conversation.number, what);
        }
        if append.outcome.durable().is_some() {
            let this = (append.record.return_ns, append.element);
            earliest = Some(earliest.map_or(this, |known| known.min(this)));
        }
    }
}

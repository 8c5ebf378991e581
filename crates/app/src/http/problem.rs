//! What is wrong with a request, in the form that the contract gives it.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// How much of a wrong value is shown again, in characters.
const SHOWN_CHARACTERS: usize = 256;
/// How long the text of an array or an object is that is shown again, in bytes.
pub(super) const SHOWN_BYTES: usize = 4 * SHOWN_CHARACTERS;
/// How many problems of one request are listed. The others are counted.
const LISTED: usize = 20;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct ValidationProblem {
    /// What kind of problem it is.
    #[serde(rename = "type")]
    #[schema(examples("missing"))]
    pub(super) kind: &'static str,
    /// Where: `body` or `query`, then keys and positions.
    #[schema(value_type = Vec<Value>, examples(json!(["body", "query"])))]
    pub(super) loc: Vec<Value>,
    /// What is wrong.
    #[schema(examples("Field required"))]
    pub(super) msg: String,
    /// What was sent.
    pub(super) input: Value,
    /// More about it, for some types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ctx: Option<Value>,
}

impl ValidationProblem {
    /// A value that a rule of ours refuses.
    #[must_use]
    pub(super) fn value_error(loc: Vec<Value>, reason: &str, input: &Value) -> Self {
        let msg = format!("Value error, {reason}");
        Self { kind: "value_error", loc, msg, input: shown(input), ctx: Some(json!({ "error": {} })) }
    }

    /// A query parameter that a rule of ours refuses.
    #[must_use]
    pub(super) fn query(name: &str, reason: &str, input: &str) -> Self {
        Self::value_error(vec!["query".into(), name.into()], reason, &input.into())
    }
}

/// What a message shows of a wrong value: a whole document need not come back.
pub(super) fn shown(input: &Value) -> Value {
    match input {
        Value::String(text) if text.chars().nth(SHOWN_CHARACTERS).is_some() => {
            text.chars().take(SHOWN_CHARACTERS).collect::<String>().into()
        }
        Value::Array(_) | Value::Object(_) if input.to_string().len() > SHOWN_BYTES => left_out(),
        input => input.clone(),
    }
}

/// What is shown in the place of an array or an object that is too long to be shown.
pub(super) fn left_out() -> Value {
    "...".into()
}

/// What is wrong with one request. An answer is no longer than a person reads, whatever was sent.
#[derive(Debug, Default)]
pub(super) struct Problems {
    listed: Vec<ValidationProblem>,
    more: usize,
}

impl Problems {
    /// Another one, which is made where it is listed.
    pub(super) fn add(&mut self, problem: impl FnOnce() -> ValidationProblem) {
        if self.listed.len() < LISTED {
            self.listed.push(problem());
        } else {
            self.more += 1;
        }
    }

    /// Those that were found elsewhere in the same request.
    pub(super) fn take(&mut self, other: Self) {
        for problem in other.listed {
            self.add(|| problem);
        }
        self.more += other.more;
    }

    /// All that are listed, and how many are not.
    #[must_use]
    pub(super) fn into_list(mut self) -> Vec<ValidationProblem> {
        if self.more > 0 {
            self.listed.push(ValidationProblem {
                kind: "too_many_problems",
                loc: vec!["body".into()],
                msg: format!("Problems that are not listed: {}", self.more),
                input: Value::Null,
                ctx: Some(json!({ "not_listed": self.more })),
            });
        }
        self.listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_comes_back_cut() {
        let long = json!("x".repeat(10_000));
        assert_eq!(shown(&long).as_str().map(str::len), Some(SHOWN_CHARACTERS));
        assert_eq!(shown(&json!([long])), json!("..."));
    }

    #[test]
    fn so_many_problems_are_listed_and_the_others_counted() {
        let problem = |n: usize| ValidationProblem::query(&n.to_string(), "wrong", "");
        for count in [0, 1, LISTED, LISTED + 1, 1_000] {
            let mut problems = Problems::default();
            (0..count / 2).for_each(|n| problems.add(|| problem(n)));
            let mut others = Problems::default();
            (count / 2..count).for_each(|n| others.add(|| problem(n)));
            problems.take(others);
            let list = problems.into_list();
            assert_eq!(list.first(), (count > 0).then(|| problem(0)).as_ref());
            let more = count.saturating_sub(LISTED);
            assert_eq!(list.len(), count - more + usize::from(more > 0), "of {count}");
            let counted = list.last().and_then(|last| last.ctx.as_ref()?.get("not_listed").cloned());
            assert_eq!(counted, (more > 0).then(|| json!(more)), "of {count}");
        }
    }
}

//! Reading a request's body: its problems at once, in the form that the contract gives them.
//!
//! The problems' types and messages are those that clients of today's LCS know.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::error::ApiError;
use super::json_object::{Field, Object};
use super::problem::{Problems, ValidationProblem, shown};

/// Reads the fields of one object, and collects what is wrong with them.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    object: &'a Object,
    place: Vec<Value>,
    known: BTreeSet<&'static str>,
    problems: Problems,
}

impl<'a> Fields<'a> {
    /// The fields of `object`, which stands at `place`.
    #[must_use]
    pub(super) fn new(object: &'a Object, place: Vec<Value>) -> Self {
        Self { object, place, known: BTreeSet::new(), problems: Problems::default() }
    }

    /// The fields of a body.
    #[must_use]
    pub(super) fn of_body(object: &'a Object) -> Self {
        Self::new(object, vec!["body".into()])
    }

    /// Where the field stands.
    #[must_use]
    pub(super) fn place(&self, name: &str) -> Vec<Value> {
        let mut place = self.place.clone();
        place.push(name.into());
        place
    }

    /// A document, which nobody reads here.
    pub(super) fn document(&mut self, name: &'static str) {
        self.known.insert(name);
    }

    /// A document that has to be there, and which nobody reads here.
    pub(super) fn required_document(&mut self, name: &'static str) {
        self.required_field(name);
    }

    /// The field's value; `null` is none.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.insert(name);
        let field = self.object.get(name)?;
        self.value_of(name, field).filter(|value| !value.is_null())
    }

    /// The field's value, which has to be there; `null` is a value.
    fn required(&mut self, name: &'static str) -> Option<&'a Value> {
        let field = self.required_field(name)?;
        self.value_of(name, field)
    }

    fn required_field(&mut self, name: &'static str) -> Option<&'a Field> {
        self.known.insert(name);
        let field = self.object.get(name);
        if field.is_none() {
            let input = self.object.shown();
            self.problem("missing", self.place(name), "Field required", input, None);
        }
        field
    }

    /// What is JSON by its signs may still be a text or a number that nothing can hold.
    fn value_of(&mut self, name: &str, field: &'a Field) -> Option<&'a Value> {
        field.value().map_err(|error| self.unreadable(name, error)).ok()
    }

    fn unreadable(&mut self, name: &str, error: &serde_json::Error) {
        let ctx = json!({ "error": error.to_string() });
        self.problem("json_invalid", self.place(name), "JSON decode error", json!({}), Some(ctx));
    }

    /// A text that has to be there.
    pub(super) fn required_text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.required(name)?;
        self.text_of(name, value)
    }

    /// A text.
    pub(super) fn text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.optional(name)?;
        self.text_of(name, value)
    }

    fn text_of(&mut self, name: &'static str, value: &'a Value) -> Option<&'a str> {
        let text = value.as_str();
        if text.is_none() {
            self.wrong("string_type", name, "Input should be a valid string", value);
        }
        text
    }

    /// A text that has to be there, of 1 to `max` characters.
    pub(super) fn required_short_text(&mut self, name: &'static str, max: usize) -> Option<&'a str> {
        let text = self.required_text(name)?;
        let (kind, msg, ctx) = if text.is_empty() {
            (
                "string_too_short",
                "String should have at least 1 character".to_owned(),
                json!({"min_length": 1}),
            )
        } else if text.chars().nth(max).is_some() {
            let msg = format!("String should have at most {max} characters");
            ("string_too_long", msg, json!({ "max_length": max }))
        } else {
            return Some(text);
        };
        let input = shown(&text.into());
        self.problem(kind, self.place(name), &msg, input, Some(ctx));
        None
    }

    /// True or false, `default` where nothing is said.
    pub(super) fn flag(&mut self, name: &'static str, default: bool) -> bool {
        self.known.insert(name);
        let Some(field) = self.object.get(name) else { return default };
        match self.value_of(name, field) {
            Some(Value::Bool(flag)) => *flag,
            Some(value) => {
                self.wrong("bool_type", name, "Input should be a valid boolean", value);
                default
            }
            None => default,
        }
    }

    /// A whole number from 0.
    pub(super) fn number(&mut self, name: &'static str) -> Option<u64> {
        let value = self.optional(name)?;
        self.number_of(name, value)
    }

    fn number_of(&mut self, name: &'static str, value: &Value) -> Option<u64> {
        let number = value.as_u64();
        if number.is_none() {
            let msg = "Input should be a valid integer greater than or equal to 0";
            self.wrong("int_type", name, msg, value);
        }
        number
    }

    /// A whole number from 0 to 2,147,483,647, which is how many turns a store can count.
    pub(super) fn small_number(&mut self, name: &'static str) -> Option<u32> {
        let number = self.number(name)?;
        self.small(name, number)
    }

    /// The same, which has to be there.
    pub(super) fn required_small_number(&mut self, name: &'static str) -> Option<u32> {
        let number = self.required_number(name)?;
        self.small(name, number)
    }

    fn small(&mut self, name: &'static str, number: u64) -> Option<u32> {
        let small = i32::try_from(number).ok().map(i32::unsigned_abs);
        if small.is_none() {
            let msg = format!("Input should be less than or equal to {}", i32::MAX);
            self.wrong("less_than_equal", name, &msg, &number.into());
        }
        small
    }

    /// A whole number from 0, which has to be there.
    pub(super) fn required_number(&mut self, name: &'static str) -> Option<u64> {
        let value = self.required(name)?;
        self.number_of(name, value)
    }

    /// An id.
    pub(super) fn id<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        self.id_of(name, text)
    }

    fn id_of<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(id) => Some(id),
            Err(error) => {
                self.value_error(name, &error.to_string(), &text.into());
                None
            }
        }
    }

    /// An id that has to be there.
    pub(super) fn required_id<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.required_text(name)?;
        self.id_of(name, text)
    }

    /// A time with its zone.
    pub(super) fn time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Some(time.to_utc());
        }
        self.value_error(name, "write a time like 2026-11-22T07:38:24Z", &text.into());
        None
    }

    /// An object.
    pub(super) fn object(&mut self, name: &'static str) -> Option<&'a Object> {
        let field = self.object_field(name)?;
        let object = field.object();
        if object.is_none() {
            // A name in it is a text that nothing can hold.
            self.value_of(name, field);
        }
        object
    }

    /// An object, whose fields nobody reads here.
    pub(super) fn object_document(&mut self, name: &'static str) {
        self.object_field(name);
    }

    fn object_field(&mut self, name: &'static str) -> Option<&'a Field> {
        self.known.insert(name);
        let field = self.object.get(name)?;
        if field.is_object() {
            return Some(field);
        }
        match field.shown() {
            Ok(Value::Null) => {}
            Ok(value) => self.wrong("dict_type", name, "Input should be a valid dictionary", &value),
            Err(error) => self.unreadable(name, error),
        }
        None
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &'static str) -> Option<Vec<&'a str>> {
        let value = self.optional(name)?;
        let Some(items) = value.as_array() else {
            self.wrong("list_type", name, "Input should be a valid list", value);
            return None;
        };
        let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
        if texts.len() != items.len() {
            self.wrong("string_type", name, "Input should be a valid string", value);
        }
        Some(texts)
    }

    /// What a rule of ours says of a field.
    pub(super) fn value_error(&mut self, name: &str, reason: &str, input: &Value) {
        let place = self.place(name);
        self.problems.add(|| ValidationProblem::value_error(place, reason, input));
    }

    /// What a rule of ours says of the object as a whole.
    pub(super) fn object_error(&mut self, reason: &str) {
        let (place, input) = (self.place.clone(), self.object.shown());
        self.problems.add(|| ValidationProblem::value_error(place, reason, &input));
    }

    /// A wrong value.
    pub(super) fn wrong(&mut self, kind: &'static str, name: &str, msg: &str, value: &Value) {
        self.problem(kind, self.place(name), msg, shown(value), None);
    }

    /// Takes what was found elsewhere in the same request.
    pub(super) fn take(&mut self, problems: Problems) {
        self.problems.take(problems);
    }

    fn problem(&mut self, kind: &'static str, loc: Vec<Value>, msg: &str, input: Value, ctx: Option<Value>) {
        self.problems.add(|| ValidationProblem { kind, loc, msg: msg.to_owned(), input, ctx });
    }

    /// What is wrong, with the fields that nothing has asked for.
    #[must_use]
    pub(super) fn into_problems(self) -> Problems {
        let Self { object, place, known, mut problems } = self;
        for (name, field) in object.iter().filter(|(name, _)| !known.contains(name.as_str())) {
            problems.add(|| ValidationProblem {
                kind: "extra_forbidden",
                loc: place.iter().cloned().chain([shown(&name.as_str().into())]).collect(),
                msg: "Extra inputs are not permitted".to_owned(),
                input: field.shown().unwrap_or_default(),
                ctx: None,
            });
        }
        problems
    }

    /// Refuses the request where anything is wrong with it.
    pub(super) fn end(self) -> Result<(), ApiError> {
        let problems = self.into_problems().into_list();
        if problems.is_empty() { Ok(()) } else { Err(ApiError::validation(problems)) }
    }
}

#[cfg(test)]
mod tests {
    use lcs_domain::TurnId;

    use super::*;

    #[test]
    fn every_problem_is_named_at_once() {
        let object =
            Object::of(&json!({"n": -1, "t": 5, "flag": "yes", "extra": 1, "short": ""})).expect("an object");
        let mut fields = Fields::of_body(&object);
        assert_eq!(fields.required("query"), None);
        assert_eq!(fields.number("n"), None);
        assert_eq!(fields.text("t"), None);
        assert!(fields.flag("flag", true));
        assert_eq!(fields.required_short_text("short", 3), None);
        let problems = fields.into_problems().into_list();
        let kinds: Vec<&str> = problems.iter().map(|problem| problem.kind).collect();
        assert_eq!(
            kinds,
            ["missing", "int_type", "string_type", "bool_type", "string_too_short", "extra_forbidden"]
        );
        assert_eq!(problems[0].loc, [json!("body"), json!("query")]);
        assert_eq!(problems[0].msg, "Field required");
    }

    #[test]
    fn what_has_to_be_there_is_not_null() {
        let object =
            Object::of(&json!({"n": null, "small": null, "id": null, "t": null})).expect("an object");
        let mut fields = Fields::of_body(&object);
        assert_eq!(fields.required_number("n"), None);
        assert_eq!(fields.required_small_number("small"), None);
        assert_eq!(fields.required_id::<TurnId>("id"), None);
        assert_eq!(fields.required_text("t"), None);
        assert_eq!(fields.into_problems().into_list().len(), 4);
    }

    #[test]
    fn an_object_is_one_whose_names_can_be_read() {
        let text =
            r#"{"good": {"a": 1e400}, "none": null, "list": [], "half": {"\ud800": 1}, "number": 1e400}"#;
        let object: Object = serde_json::from_str(text).expect("JSON by its signs");
        let mut fields = Fields::of_body(&object);
        for name in ["good", "none", "list", "half", "number"] {
            assert_eq!(fields.object(name).is_some(), name == "good", "{name}");
        }
        let found = |fields: Fields<'_>| -> Vec<(&str, Value)> {
            let problems = fields.into_problems().into_list();
            problems.into_iter().map(|problem| (problem.kind, problem.loc[1].clone())).collect()
        };
        let expected = [("dict_type", "list"), ("json_invalid", "half"), ("json_invalid", "number")];
        assert_eq!(found(fields), expected.map(|(kind, name)| (kind, json!(name))));
        // Where nobody reads it, its names are nobody's matter either.
        let mut fields = Fields::of_body(&object);
        for name in ["good", "none", "list", "half", "number"] {
            fields.object_document(name);
        }
        let expected = [("dict_type", "list"), ("json_invalid", "number")];
        assert_eq!(found(fields), expected.map(|(kind, name)| (kind, json!(name))));
    }
}

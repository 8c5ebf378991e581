//! One pass over a JSON text: syntax, depth, numbers and text are checked while the tree is built.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::MAX_DEPTH;
use super::number::{self, NumberTexts};
use crate::RepositoryError;

/// A parsed document and what the pass found out about it.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) value: Value,
    pub(super) sealed: bool,
}

/// Parses `json`, refusing what cannot be kept exactly.
pub(super) fn parse(json: &str) -> Result<Document, RepositoryError> {
    let pass =
        RefCell::new(Pass { numbers: NumberTexts::of(json), path: Vec::new(), sealed: false, refusal: None });
    let mut deserializer = serde_json::Deserializer::from_str(json);
    // Our own limit is the lower one, and it says where.
    deserializer.disable_recursion_limit();
    let parsed = Seed { pass: &pass, depth: 0 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    let mut pass = pass.into_inner();
    if parsed.as_ref().is_err_and(is_number_out_of_range) {
        let _: de::value::Error = pass.refuse(INEXACT_NUMBER);
    }
    match (parsed, pass.refusal) {
        (Ok(value), None) => Ok(Document { value, sealed: pass.sealed }),
        (_, Some(refusal)) => Err(refusal),
        // The line and column, not serde_json's words: those may quote the text.
        (Err(error), None) => Err(RepositoryError::invalid(
            "",
            format!("not well-formed JSON at line {}, column {}", error.line(), error.column()),
        )),
    }
}

const INEXACT_NUMBER: &str = "the number cannot be kept exactly: send it as a string";

/// Whether `serde_json` stopped at a number past the largest float, which it does before any visitor sees
/// the number. Its error has no code for that, only words; a test pins them.
fn is_number_out_of_range(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("number out of range")
}

/// What is carried through the pass.
struct Pass<'a> {
    /// The texts of the numbers still to come: serde gives a number's value, and only its text shows
    /// whether that value is the one that was sent.
    numbers: NumberTexts<'a>,
    path: Vec<Step>,
    sealed: bool,
    refusal: Option<RepositoryError>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl Pass<'_> {
    fn refuse<E: de::Error>(&mut self, reason: impl Into<String>) -> E {
        let mut pointer = String::new();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Key(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
                Step::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        self.refusal = Some(RepositoryError::invalid(pointer, reason));
        E::custom("refused")
    }

    fn number<E: de::Error>(&mut self) -> Result<Value, E> {
        let number = self.numbers.next().and_then(number::exact);
        let Some(number) = number else {
            return Err(self.refuse(INEXACT_NUMBER));
        };
        self.sealed |= number.as_f64().is_some_and(number::is_long_as_decimal);
        Ok(Value::Number(number))
    }

    fn text(&mut self, text: &str) {
        self.sealed |= text.contains('\0');
    }
}

struct Seed<'p, 'a> {
    pass: &'p RefCell<Pass<'a>>,
    depth: usize,
}

impl Seed<'_, '_> {
    /// Goes one level down, refusing to go too deep.
    fn deeper<E: de::Error>(&self) -> Result<usize, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.pass.borrow_mut().refuse(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON document")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Value, E> {
        self.pass.borrow_mut().number()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Value, E> {
        self.pass.borrow_mut().number()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Value, E> {
        self.pass.borrow_mut().number()
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.pass.borrow_mut().text(text);
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut values = Vec::new();
        loop {
            self.pass.borrow_mut().path.push(Step::Index(values.len()));
            let Some(value) = items.next_element_seed(Seed { pass: self.pass, depth })? else {
                break;
            };
            values.push(value);
            self.pass.borrow_mut().path.pop();
        }
        self.pass.borrow_mut().path.pop();
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut values = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let mut pass = self.pass.borrow_mut();
            pass.text(&key);
            pass.path.push(Step::Key(key.clone()));
            drop(pass);
            let value = entries.next_value_seed(Seed { pass: self.pass, depth })?;
            self.pass.borrow_mut().path.pop();
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

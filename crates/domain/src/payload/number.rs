//! Numbers by value: which decimal texts a 64-bit number stands for exactly.

use serde_json::Number;

/// The texts of the numbers in a well-formed JSON text, in order.
///
/// Over a malformed text it may yield anything; the parser that runs beside it refuses that text.
#[derive(Debug)]
pub(super) struct NumberTexts<'a> {
    rest: &'a str,
}

impl<'a> NumberTexts<'a> {
    pub(super) fn of(json: &'a str) -> Self {
        Self { rest: json }
    }

    /// Skips to behind the closing quote of the string whose opening quote has been read.
    fn skip_string(&mut self) {
        while let Some(at) = self.rest.find(['"', '\\']) {
            let (found, after) = split(self.rest, at);
            if found.starts_with('"') {
                self.rest = after;
                return;
            }
            let mut escaped = after.chars();
            escaped.next();
            self.rest = escaped.as_str();
        }
        self.rest = "";
    }
}

/// What begins at the one-byte character `at`, and what follows that character.
fn split(text: &str, at: usize) -> (&str, &str) {
    (text.get(at..).unwrap_or_default(), text.get(at + 1..).unwrap_or_default())
}

impl<'a> Iterator for NumberTexts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let at = self.rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
            let (found, after) = split(self.rest, at);
            if found.starts_with('"') {
                self.rest = after;
                self.skip_string();
                continue;
            }
            let length = length(found);
            self.rest = found.get(length..).unwrap_or_default();
            return found.get(..length);
        }
    }
}

/// How long the number is that begins `text`: a second point or exponent, or another sign, is no part of it,
/// so that what is malformed is refused for that, and not for a value that it does not have.
fn length(text: &str) -> usize {
    let (mut has_point, mut has_exponent, mut may_have_sign) = (false, false, true);
    let goes_on = |c: char| {
        let belongs = match c {
            '0'..='9' => true,
            '-' | '+' => may_have_sign,
            '.' => !has_point && !has_exponent,
            'e' | 'E' => !has_exponent,
            _ => false,
        };
        has_point |= c == '.';
        may_have_sign = matches!(c, 'e' | 'E');
        has_exponent |= may_have_sign;
        belongs
    };
    text.len() - text.trim_start_matches(goes_on).len()
}

/// The number whose value is exactly that of the decimal `text`: an `i64` or `u64` where the value is
/// one, otherwise the `f64` of which it is a shortest decimal form. `None` where there is no such number.
pub(super) fn exact(text: &str) -> Option<Number> {
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    if let Ok(integer) = text.parse::<u64>() {
        return Some(integer.into());
    }
    let sent = Decimal::of(text)?;
    if let Some(integer) = sent.as_integer() {
        return Some(integer);
    }
    let float: f64 = text.parse().ok().filter(|float: &f64| float.is_finite())?;
    let number = Number::from_f64(float)?;
    // A float half way between two shortest forms is written as either: `serde_json` takes the even one,
    // Rust's own formatting the other.
    let forms = [number.to_string(), format!("{float:e}")];
    forms.iter().any(|form| Decimal::of(form).as_ref() == Some(&sent)).then_some(number)
}

/// Whether a store that writes floats out in full digits would need more than a few dozen of them.
pub(super) fn is_long_as_decimal(float: f64) -> bool {
    let magnitude = float.abs();
    magnitude != 0.0 && !(1e-40..1e40).contains(&magnitude)
}

/// A decimal number by value: `digits` × 10^`exponent`, without zeros at either end of `digits`.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (text, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Some(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        // An exponent past 64 bits belongs to no number that can be kept, but to zero.
        let exponent: i64 = exponent.map_or(Ok(0), str::parse).ok()?;
        let trailing = all.len() - all.trim_end_matches('0').len();
        let exponent = exponent
            .checked_sub(i64::try_from(fraction.len()).ok()?)?
            .checked_add(i64::try_from(trailing).ok()?)?;
        Some(Self { negative, digits: significant.to_owned(), exponent })
    }

    /// This number where it is an integer of 64 bits.
    fn as_integer(&self) -> Option<Number> {
        if self.digits.is_empty() {
            return Some(0.into());
        }
        let zeros = usize::try_from(self.exponent).ok().filter(|zeros| *zeros < 20)?;
        let sign = if self.negative { "-" } else { "" };
        let text = format!("{sign}{}{}", self.digits, "0".repeat(zeros));
        text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_texts_are_found_outside_strings_only() {
        let json = r#"{"a1":[-1.5e+3, "7\"8\\", 9],"b\\":0,"é2":true,"c":2}"#;
        let found: Vec<&str> = NumberTexts::of(json).collect();
        assert_eq!(found, ["-1.5e+3", "9", "0", "2"]);
    }

    #[test]
    fn a_number_ends_where_json_ends_it() {
        for (json, number) in [
            ("1.5e1.5", "1.5e1"),
            ("1e1e1", "1e1"),
            ("1-2", "1"),
            ("-1.2.3", "-1.2"),
            ("1e+2+3", "1e+2"),
            ("7,", "7"),
        ] {
            assert_eq!(NumberTexts::of(json).next(), Some(number), "{json}");
        }
    }

    #[test]
    fn a_torn_text_ends_the_search() {
        for json in ["\"", "\"\\", "\"\\\"", "-", "[1,\"é\\é"] {
            let _ = NumberTexts::of(json).count();
        }
    }

    #[test]
    fn a_value_decides_not_a_text() {
        assert_eq!(exact("1e2"), Some(100.into()));
        assert_eq!(exact("10.0e-1"), Some(1.into()));
        assert_eq!(exact("0e99999999999999999999"), Some(0.into()));
        assert_eq!(exact("0.1"), Number::from_f64(0.1));
        assert_eq!(exact("5e-324"), Number::from_f64(5e-324));
        assert_eq!(exact("3e-324"), None);
        // Half way between two shortest forms: both stand for it, and nothing else does.
        let half_way = Number::from_f64(f64::from_bits(14_058_346_915_730_375_749));
        assert_eq!(exact("-1779019583607057.2"), half_way);
        assert_eq!(exact("-1779019583607057.3"), half_way);
        assert_eq!(exact("-1779019583607057.21"), None);
        assert_eq!(exact("1e99999999999999999999"), None);
        assert_eq!(exact("0.30000000000000000000000000000000000001"), None);
    }
}

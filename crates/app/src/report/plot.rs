//! Plots in SVG: bars over days, and bars of parts. Drawn with classes only, so that a page's policy can forbid
//! styles that it does not know, and with the figures beside them for whoever cannot see a plot.

use chrono::NaiveDate;
use maud::{Markup, html};

use super::text::{count, float, short};

/// The plot's size, in its own units: what a phone shows at about the size of its text.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 190.0;
/// Room for the scale at the left, for the dates below, and for half a line of text above.
const LEFT: f64 = 46.0;
const BOTTOM: f64 = 26.0;
const TOP: f64 = 10.0;

/// A number for each day.
pub(super) struct Days<'a> {
    /// What is counted, for the plot's name and its figures.
    pub(super) name: &'a str,
    /// One of it: `turn`.
    pub(super) one: &'a str,
    /// The series' class.
    pub(super) class: &'static str,
    pub(super) values: Vec<(NaiveDate, u64)>,
}

impl Days<'_> {
    /// The plot, with its figures below it.
    pub(super) fn figure(&self) -> Markup {
        let total: u64 = self.values.iter().map(|(_, value)| value).sum();
        html! {
            figure {
                figcaption { (self.name) " " span .quiet { (count(total)) " in all" } }
                (self.svg())
                details {
                    summary { "Figures" }
                    div .scroll {
                        table {
                            thead { tr { th scope="col" { "Day" } th scope="col" .number { (self.name) } } }
                            tbody {
                                @for (date, value) in self.values.iter().rev() {
                                    tr { th scope="row" { (date) } td .number { (count(*value)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn svg(&self) -> Markup {
        let top = nice(self.values.iter().map(|(_, value)| *value).max().unwrap_or_default());
        let step = (WIDTH - LEFT) / float(self.values.len().max(1) as u64);
        let gap = if step > 6.0 { 2.0 } else { 0.0 };
        let height = HEIGHT - TOP - BOTTOM;
        let y = |value: u64| TOP + height * (1.0 - float(value) / float(top));
        let scale = [0, top / 2, top];
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.label()) {
                @for value in scale {
                    line .grid x1=(LEFT) x2=(WIDTH) y1=(fixed(y(value))) y2=(fixed(y(value))) {}
                    text .scale x=(LEFT - 6.0) y=(fixed(y(value) + 4.5)) { (short(value)) }
                }
                @for (place, (date, value)) in (0_u32..).zip(&self.values) {
                    @if *value > 0 {
                        rect class=(self.class) x=(fixed(LEFT + step * f64::from(place) + gap / 2.0))
                            y=(fixed(y(*value))) width=(fixed((step - gap).max(0.5)))
                            height=(fixed((HEIGHT - BOTTOM - y(*value)).max(0.5))) {
                            title { (date) ": " (count(*value)) }
                        }
                    }
                }
                @for (date, x, class) in self.dates() {
                    text class=(format!("date {class}")) x=(fixed(x)) y=(HEIGHT - 8.0) { (date.format("%-d %b")) }
                }
            }
        }
    }

    /// The plot in a sentence.
    fn label(&self) -> String {
        let (Some((first, _)), Some((last, _))) = (self.values.first(), self.values.last()) else {
            return format!("{}: no days", self.name);
        };
        let most = self.values.iter().max_by_key(|(_, value)| *value);
        let most = most.map_or_else(String::new, |(date, value)| {
            format!(", at most {} {}s a day, on {date}", count(*value), self.one)
        });
        format!("{}, a bar for each day from {first} to {last}{most}", self.name)
    }

    /// The dates that are written out, with their places.
    fn dates(&self) -> Vec<(NaiveDate, f64, &'static str)> {
        let step = (WIDTH - LEFT) / float(self.values.len().max(1) as u64);
        let middle = self.values.len() / 2;
        let at = |place: usize, class| {
            let (date, _) = self.values.get(place)?;
            let x = match class {
                "first" => LEFT,
                "last" => WIDTH,
                _ => LEFT + step * (float(place as u64) + 0.5),
            };
            Some((*date, x, class))
        };
        let places = match self.values.len() {
            0 => vec![],
            1..=4 => vec![at(0, "first")],
            len => vec![at(0, "first"), at(middle, "middle"), at(len - 1, "last")],
        };
        places.into_iter().flatten().collect()
    }
}

/// A bar of several parts, as wide as its share of `whole`.
pub(super) fn parts(whole: u64, parts: &[(&'static str, u64)], label: &str) -> Markup {
    let width = |value: u64| if whole == 0 { 0.0 } else { 100.0 * float(value) / float(whole) };
    let mut x = 0.0;
    let bars: Vec<_> = parts
        .iter()
        .map(|(class, value)| {
            let bar = (*class, x, width(*value));
            x += width(*value);
            bar
        })
        .collect();
    html! {
        svg .parts viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect .ground x="0" y="0" width="100" height="6" {}
            @for (class, x, width) in bars {
                @if width > 0.0 { rect class=(class) x=(fixed(x)) y="0" width=(fixed(width)) height="6" {} }
            }
        }
    }
}

/// The end of a scale: the smallest of 2, 4, 6, 8, 10, 12, 16, 20, 40 and so on that is not below `most`. Its half is
/// a whole number.
fn nice(most: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for step in [2, 4, 6, 8, 10, 12, 16] {
            let end = unit.saturating_mul(step);
            if end >= most || end == u64::MAX {
                return end;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

/// A place to a tenth of a unit.
fn fixed(number: f64) -> String {
    format!("{number:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_just_above_what_it_shows() {
        let ends = [0, 2, 3, 5, 11, 17, 41, 99, 101, 1_100, u64::MAX].map(nice);
        assert_eq!(ends, [2, 2, 4, 6, 12, 20, 60, 100, 120, 1_200, u64::MAX]);
    }

    #[test]
    fn every_day_with_something_has_its_bar_and_every_day_its_figure() {
        let day = |day| NaiveDate::from_ymd_opt(2026, 3, day).unwrap();
        let values = (1..=9).map(|number| (day(number), u64::from(number % 3))).collect();
        let plot = Days { name: "Turns", one: "turn", class: "turns", values }.figure().into_string();
        assert_eq!(plot.matches("<rect class=\"turns\"").count(), 6);
        assert_eq!(plot.matches("<th scope=\"row\">").count(), 9);
        assert!(plot.contains("at most 2 turns a day, on 2026-03-08"), "{plot}");
        assert!(!plot.contains("style=") && !plot.contains("NaN"), "{plot}");
    }

    #[test]
    fn a_plot_of_nothing_is_one_too() {
        let plot = Days { name: "Turns", one: "turn", class: "turns", values: vec![] }.figure().into_string();
        assert!(plot.contains("Turns: no days") && !plot.contains("NaN"), "{plot}");
        assert!(!parts(0, &[("rows", 0)], "nothing").into_string().contains("NaN"));
    }
}

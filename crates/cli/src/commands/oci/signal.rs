//! The names of signals.

use anyhow::Context;
use nix::sys::signal::Signal;

/// The first and last real-time signal that programs see.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// Reads a signal: a number (0 only asks whether there is somebody, kill(2)), a name, or a name with `SIG` before it, in any case.
pub(super) fn parse(text: &str) -> anyhow::Result<i32> {
    let known = match text.parse::<i32>() {
        Ok(number) => Some(number).filter(|number| (0..=*REAL_TIME.end()).contains(number)),
        Err(_) => by_name(&text.to_ascii_uppercase()),
    };
    known.with_context(|| format!("unknown signal \"{}\"", text.escape_debug()))
}

fn by_name(upper: &str) -> Option<i32> {
    let name = upper.strip_prefix("SIG").unwrap_or(upper);
    let counted = |start: &str, from: i32, sign: i32| {
        let rest = name.strip_prefix(start)?;
        let distance = match rest {
            "" => 0,
            _ if sign > 0 => rest.strip_prefix('+')?.parse::<i32>().ok()?,
            _ => rest.strip_prefix('-')?.parse::<i32>().ok()?,
        };
        let number = from.checked_add(sign.checked_mul(distance)?)?;
        REAL_TIME.contains(&number).then_some(number)
    };
    counted("RTMIN", *REAL_TIME.start(), 1)
        .or_else(|| counted("RTMAX", *REAL_TIME.end(), -1))
        .or_else(|| match name {
            "CLD" => Some(Signal::SIGCHLD as i32),
            "POLL" => Some(Signal::SIGIO as i32),
            "IOT" => Some(Signal::SIGABRT as i32),
            _ => format!("SIG{name}")
                .parse::<Signal>()
                .ok()
                .map(|signal| signal as i32),
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_many_names() {
        for (text, number) in [
            ("0", 0),
            ("9", 9),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigterm", 15),
            ("Hup", 1),
            ("64", 64),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
            ("POLL", 29),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for wrong in [
            "",
            "65",
            "-9",
            "SIG",
            "SIGSIGKILL",
            "RTMIN+31",
            "RTMAX-99",
            "K",
            "9 ",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! Which property of `config.json` a step is for: what init says of a step that failed is said in
//! its words.

use std::borrow::Cow;

/// The properties in the order in which they were composed, each with the step and the provision
/// that it begins with.
#[derive(Debug, Default)]
pub(crate) struct Properties(Vec<Begin>);

#[derive(Debug)]
struct Begin {
    step: u32,
    provision: usize,
    property: Cow<'static, str>,
}

impl Properties {
    /// What follows, from this step and this provision on, is for this property; for none, if that
    /// is empty.
    pub(super) fn begin(
        &mut self,
        step: u32,
        provision: usize,
        property: impl Into<Cow<'static, str>>,
    ) {
        self.0.push(Begin {
            step,
            provision,
            property: property.into(),
        });
    }

    /// The property of a step, or nothing.
    pub(crate) fn of_step(&self, step: u32) -> &str {
        self.last(|begin| begin.step <= step)
    }

    /// The property that the parent hands something to init for.
    pub(crate) fn of_provision(&self, provision: usize) -> &str {
        self.last(|begin| begin.provision <= provision)
    }

    fn last(&self, is_before: impl Fn(&Begin) -> bool) -> &str {
        let begin = self.0.iter().rev().find(|begin| is_before(begin));
        begin.map_or("", |begin| begin.property.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::Properties;

    #[test]
    fn what_was_begun_last_is_meant() {
        let mut properties = Properties::default();
        assert_eq!(properties.of_step(0), "");
        properties.begin(1, 0, "hostname");
        properties.begin(2, 0, "mounts[0]");
        properties.begin(2, 0, "mounts[1]");
        properties.begin(4, 1, "");
        let of_steps = [0, 1, 2, 3, 4, 9].map(|step| properties.of_step(step));
        let expected = ["", "hostname", "mounts[1]", "mounts[1]", "", ""];
        assert_eq!(of_steps, expected);
        assert_eq!(properties.of_provision(0), "mounts[1]");
        assert_eq!(properties.of_provision(1), "");
    }
}

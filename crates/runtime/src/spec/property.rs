//! How the structs of the specification are declared and read.

use std::collections::{BTreeMap, btree_map};
use std::ffi::OsString;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

/// Declares structs whose fields are properties, each with the name that it has in a document, and
/// makes them readable.
///
/// Each property may be absent, and `null` is absent too, as the specification's own Go types have
/// it. Unknown properties are ignored; a known one that stands twice is an error. An array is no
/// object, which is why none of this is left to serde's derive: it reads one field by field.
///
/// `as` names the type that is read where the field's own can't be; `plus` makes a field that no
/// document knows.
macro_rules! properties {
    ($($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$field_doc:meta])* $property:literal => $field:ident: $type:ty $(as $read:ty)?,)*
        $(plus $(#[$plus_doc:meta])* $plus:ident: $plus_type:ty,)?
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            $($(#[$plus_doc])* pub $plus: $plus_type,)?
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Properties;

                impl<'de> serde::de::Visitor<'de> for Properties {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A>(self, mut from: A) -> Result<$name, A::Error>
                    where
                        A: serde::de::MapAccess<'de>,
                    {
                        let mut object = $name::default();
                        $(let mut $field = false;)*
                        while let Some(key) = from.next_key::<String>()? {
                            match key.as_str() {
                                $($property => {
                                    if std::mem::replace(&mut $field, true) {
                                        return Err(serde::de::Error::duplicate_field($property));
                                    }
                                    object.$field = properties!(@read from, $type $(, $read)?);
                                })*
                                _ => drop(from.next_value::<serde::de::IgnoredAny>()?),
                            }
                        }
                        Ok(object)
                    }
                }
                from.deserialize_map(Properties)
            }
        }
    )*};
    (@read $from:ident, $type:ty) => {
        $from.next_value::<Option<$type>>()?.unwrap_or_default()
    };
    (@read $from:ident, $type:ty, $read:ty) => {
        $from.next_value::<Option<$read>>()?.unwrap_or_default().into()
    };
}
pub(super) use properties;

/// A JSON object with keys of any name. A key that stands in it twice is an error: it is not
/// certain which of them is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map<V>(BTreeMap<String, V>);

impl<V> Default for Map<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V> Deref for Map<V> {
    type Target = BTreeMap<String, V>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<K: Into<String>, V> FromIterator<(K, V)> for Map<V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        Self(entries.map(|(key, value)| (key.into(), value)).collect())
    }
}

impl<'a, V> IntoIterator for &'a Map<V> {
    type Item = (&'a String, &'a V);
    type IntoIter = btree_map::Iter<'a, String, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Map<V> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = Map<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Map<V>, A::Error> {
                let mut map = BTreeMap::new();
                while let Some(key) = from.next_key::<String>()? {
                    match map.entry(key) {
                        btree_map::Entry::Occupied(twice) => {
                            let key = twice.key().escape_debug();
                            return Err(A::Error::custom(format!("duplicate key \"{key}\"")));
                        }
                        btree_map::Entry::Vacant(free) => {
                            free.insert(from.next_value()?);
                        }
                    }
                }
                Ok(Map(map))
            }
        }
        from.deserialize_map(Entries(PhantomData))
    }
}

/// A part of the configuration that is for another platform: it is there, and that is all that
/// matters about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign;

impl<'de> Deserialize<'de> for Foreign {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(from).map(|_| Self)
    }
}

/// The strings of a JSON document are UTF-8; those of a command line need not be.
#[derive(Default)]
pub(super) struct Strings(Vec<String>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::deserialize(from).map(Self)
    }
}

impl From<Strings> for Vec<OsString> {
    fn from(strings: Strings) -> Self {
        strings.0.into_iter().map(OsString::from).collect()
    }
}

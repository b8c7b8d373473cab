//! Reading messages as Docker does, which plugins are written for: names of fields in any case, unknown ones ignored,
//! `null` for what is not there (Go's `encoding/json`).

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// Fields whose own fields are names that plugins or people choose.
const FREE: [&str; 4] = ["value", "data", "options", "auxaddresses"];

/// A message, without what `null` stands for.
pub fn decode<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err("it is empty".to_owned());
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    match fold(value) {
        Value::Null => Ok(T::default()),
        // serde would take the values of a list for those of the fields.
        Value::Array(_) => Err("it is a list, not an object".to_owned()),
        value @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            serde_path_to_error::deserialize(value).map_err(|error| {
                let path = error.path().to_string();
                match path.as_str() {
                    "." => error.inner().to_string(),
                    path => format!("{path}: {}", error.inner()),
                }
            })
        }
    }
}

/// The error that an answer holds: `Err` of network drivers, `Error` of IPAM drivers.
pub(super) fn error(body: &[u8]) -> Option<String> {
    #[derive(Default, Deserialize)]
    struct Words {
        err: Option<String>,
        error: Option<String>,
    }
    let words: Words = decode(body).ok()?;
    words.err.or(words.error).filter(|text| !text.is_empty())
}

/// Names in lower case, and no `null`s.
fn fold(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| {
                    let name = name.to_ascii_lowercase();
                    let value = if FREE.contains(&&*name) { value } else { fold(value) };
                    (name, value)
                })
                .collect(),
        ),
        Value::Array(values) => Value::Array(values.into_iter().map(fold).collect()),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Answer {
        poolid: String,
        data: BTreeMap<String, String>,
    }

    #[test]
    fn names_may_be_written_in_any_case_and_nulls_are_nothing() {
        let answer = Answer { poolid: "a".to_owned(), data: BTreeMap::new() };
        for body in [r#"{"PoolID":"a"}"#, r#"{"poolId":"a","Data":null,"x":[null]}"#] {
            assert_eq!(decode::<Answer>(body.as_bytes()).as_ref(), Ok(&answer));
        }
        for body in ["null", "{}", r#"{"PoolID":null}"#] {
            assert_eq!(decode::<Answer>(body.as_bytes()), Ok(Answer::default()), "{body}");
        }
        let kept: Answer = decode(br#"{"Data":{"Big.Key":"v"}}"#).expect("an answer");
        assert_eq!(kept.data.get("Big.Key").map(String::as_str), Some("v"));
    }

    #[test]
    fn what_was_decoded_stays_as_it_is() {
        let corpus = [
            r#"{"Scope":"local","Err":null}"#,
            r#"{"Interface":{"Address":"10.0.0.2/24","AddressIPv6":"","MacAddress":"02:42:0a:00:00:02"}}"#,
            r#"{"InterfaceName":{"SrcName":"v1","DstPrefix":"eth"},"Gateway":"10.0.0.1",
                "StaticRoutes":[{"Destination":"10.1.0.0/24","RouteType":1,"NextHop":""}]}"#,
            r#"{"PoolID":"p","Pool":"10.0.0.0/24","Data":{"Com.Docker.X":"y"}}"#,
        ];
        let write = |value: &Value| value.to_string().into_bytes();
        crate::fuzz::same_again(&corpus, |text| decode::<Value>(text).ok(), write);
        crate::fuzz::each(&corpus, |text| drop(error(text)));
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for (body, reason) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("<html>", "expected value at line 1 column 1"),
            (r#"{"PoolID":1}"#, "poolid: invalid type: integer `1`, expected a string"),
            ("[1]", "it is a list, not an object"),
            ("1", "invalid type: integer `1`, expected struct Answer"),
        ] {
            let error = decode::<Answer>(body.as_bytes()).expect_err(body);
            assert!(error.contains(reason), "{body}: {error}");
        }
    }

    #[test]
    fn errors_have_two_names() {
        assert_eq!(error(br#"{"Err":"a"}"#).as_deref(), Some("a"));
        assert_eq!(error(br#"{"error":"b"}"#).as_deref(), Some("b"));
        for none in [&br#"{"Err":""}"#[..], b"{}", b"null", b"", b"[]"] {
            assert_eq!(error(none), None);
        }
    }
}

//! Requests and responses as the application sees them: small, whole, and checked for their form.

use std::collections::BTreeMap;
use std::fs::File;

use hyper::body::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{Error, Kind, Result};

/// The methods that the application knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub(super) fn of(method: &hyper::Method) -> Option<Self> {
        match *method {
            // A HEAD is a GET whose body the server leaves out.
            hyper::Method::GET | hyper::Method::HEAD => Some(Self::Get),
            hyper::Method::POST => Some(Self::Post),
            hyper::Method::PUT => Some(Self::Put),
            hyper::Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }
}

/// A request whose origin has been checked.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// The path between its slashes: `/api/scenes/0` is `["api", "scenes", "0"]`. Letters, digits, `.`, `_` and `-` alone.
    pub path: Vec<String>,
    pub query: BTreeMap<String, String>,
    pub body: Bytes,
    /// `http://HOST`, as the client addresses the server.
    pub origin: String,
    /// The tag of what the client has of this resource.
    pub known: Option<String>,
}

impl Request {
    /// The path as text pieces, to be matched.
    pub fn route(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is not JSON of this form.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        // Lists would be taken for objects whose keys come in their order.
        if self.body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Error::input("the body of the request: it must be a JSON object"));
        }
        serde_json::from_slice(&self.body).map_err(|error| Error::input(format!("the body of the request: {error}")))
    }

    /// A number of the query.
    ///
    /// # Errors
    /// It is missing, or no finite number.
    pub fn number(&self, name: &str) -> Result<f64> {
        let text = self.query.get(name).ok_or_else(|| Error::input(format!("the query has no {name}")))?;
        let number: Option<f64> = text.parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| Error::input(format!("{name} in the query is {text:?}; it must be a number")))
    }
}

/// The content of a response.
#[derive(Debug)]
pub enum Body {
    Whole(Bytes),
    /// A file, which is sent piece by piece.
    File(File, u64),
}

/// What the client gets.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub media_type: &'static str,
    pub body: Body,
    pub headers: Vec<(&'static str, String)>,
}

impl Response {
    pub fn new(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status: 200, media_type, body: Body::Whole(body.into()), headers: Vec::new() }
    }

    pub fn json(value: &impl Serialize) -> Self {
        // Numbers, texts and lists of them cannot be refused.
        Self::new("application/json", serde_json::to_vec(value).unwrap_or_default())
    }

    /// A refusal: a sentence, and what to do about it.
    pub fn refusal(status: u16, sentence: &str, hint: Option<&str>) -> Self {
        let mut object = json!({"error": sentence});
        if let (Some(hint), Value::Object(object)) = (hint, &mut object) {
            object.insert("hint".to_owned(), hint.into());
        }
        Self { status, ..Self::json(&object) }
    }

    pub fn not_found(what: &str) -> Self {
        Self::refusal(404, &format!("There is no {what} here."), Some("GET /api lists what there is."))
    }

    /// The refusal that an error stands for.
    pub fn of_error(error: &Error) -> Self {
        let sentence = [vec![error.to_string()], error.causes()].concat().join(": ");
        let status = if error.kind() == Kind::Internal { 500 } else { 400 };
        Self::refusal(status, &sentence, error.hint())
    }

    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

impl From<Result<Self>> for Response {
    fn from(result: Result<Self>) -> Self {
        result.unwrap_or_else(|error| Self::of_error(&error))
    }
}

//! XML as a tree, with the carrier's errors, and the values of attributes.

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// Why a document cannot be executed, with the carrier's error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TwimlError {
    pub(crate) code: u32,
    pub(crate) message: String,
}

pub(super) fn error<T>(code: u32, message: impl Into<String>) -> Result<T, TwimlError> {
    Err(TwimlError { code, message: message.into() })
}

/// One element; its text includes that of the elements within.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) name: String,
    attrs: Vec<(String, String)>,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

/// Reads one well-formed document into its root element.
pub(super) fn tree(text: &str) -> Result<Element, TwimlError> {
    let bad =
        |e: &dyn std::fmt::Display| TwimlError { code: 12100, message: format!("no well-formed XML: {e}") };
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let mut closed = None;
        match reader.read_event().map_err(|e| bad(&e))? {
            Event::Start(e) => open.push(element(&e)?),
            Event::Empty(e) => closed = Some(element(&e)?),
            Event::End(_) => closed = open.pop(),
            Event::Text(t) => {
                let t = t.xml_content().map_err(|e| bad(&e))?;
                add_text(&mut open, &t)?;
            }
            Event::CData(t) => {
                let t = t.decode().map_err(|e| bad(&e))?;
                add_text(&mut open, &t)?;
            }
            Event::GeneralRef(r) => {
                let name = r.decode().map_err(|e| bad(&e))?;
                let ch = r.resolve_char_ref().map_err(|e| bad(&e))?.map(String::from);
                let known = quick_xml::escape::resolve_predefined_entity(&name).map(String::from);
                let Some(t) = ch.or(known) else { return error(12100, format!("unknown entity &{name};")) };
                add_text(&mut open, &t)?;
            }
            Event::Eof => break,
            _ => {}
        }
        if let Some(done) = closed {
            match open.last_mut() {
                Some(parent) => {
                    // The words inside SSML belong to the verb around them.
                    parent.text.push_str(&done.text);
                    parent.children.push(done);
                }
                None if root.is_none() => root = Some(done),
                None => return error(12100, "more than one root"),
            }
        }
    }
    match root {
        Some(root) if open.is_empty() => Ok(root),
        _ => error(12100, "the document ends too early"),
    }
}

fn add_text(open: &mut [Element], text: &str) -> Result<(), TwimlError> {
    match open.last_mut() {
        Some(e) => e.text.push_str(text),
        None if text.trim().is_empty() || text == "\u{feff}" => {}
        None => return error(12100, "text outside of the root"),
    }
    Ok(())
}

fn element(e: &BytesStart<'_>) -> Result<Element, TwimlError> {
    let mut out =
        Element { name: String::from_utf8_lossy(e.name().as_ref()).into_owned(), ..Element::default() };
    for attr in e.attributes() {
        let bad = |e: &dyn std::fmt::Display| TwimlError { code: 12100, message: format!("attribute: {e}") };
        let attr = attr.map_err(|e| bad(&e))?;
        let value = attr.unescape_value().map_err(|e| bad(&e))?.into_owned();
        out.attrs.push((String::from_utf8_lossy(attr.key.as_ref()).into_owned(), value));
    }
    Ok(out)
}

impl Element {
    pub(super) fn allow(&self, names: &[&str]) -> Result<(), TwimlError> {
        match self.attrs.iter().find(|(n, _)| !names.contains(&n.as_str()) && !n.starts_with("xmlns")) {
            Some((n, _)) => error(12200, format!("<{}> has no attribute {n}", self.name)),
            None => Ok(()),
        }
    }

    pub(super) fn childless(&self, except: &[&str]) -> Result<(), TwimlError> {
        match self.children.iter().find(|c| !except.contains(&c.name.as_str())) {
            Some(c) => error(12200, format!("<{}> is not allowed in <{}>", c.name, self.name)),
            None => Ok(()),
        }
    }

    pub(super) fn attr(&self, name: &str) -> Option<&str> {
        self.attrs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(super) fn number(
        &self,
        name: &str,
        default: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<u32, TwimlError> {
        let Some(value) = self.attr(name) else { return Ok(default) };
        match value.parse::<u32>() {
            Ok(n) if range.contains(&n) => Ok(n),
            _ => error(13325, format!("<{} {name}=\"{value}\"> is out of range", self.name)),
        }
    }

    pub(super) fn seconds(
        &self,
        name: &str,
        default: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<f64, TwimlError> {
        self.number(name, default, range).map(f64::from)
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, TwimlError> {
        match self.attr(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(v) => error(12200, format!("<{} {name}=\"{v}\"> is neither true nor false", self.name)),
        }
    }

    pub(super) fn method(&self) -> Result<String, TwimlError> {
        self.method_in("method")
    }

    pub(super) fn method_in(&self, name: &str) -> Result<String, TwimlError> {
        match self.attr(name).unwrap_or("POST") {
            m @ ("POST" | "GET") => Ok(m.to_owned()),
            m => error(12200, format!("<{} {name}=\"{m}\"> is neither GET nor POST", self.name)),
        }
    }

    pub(super) fn url(&self, name: &str) -> Option<String> {
        self.attr(name).filter(|v| !v.is_empty()).map(str::to_owned)
    }
}

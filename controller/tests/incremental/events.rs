//! What a source may report, in any order.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tidegate::diagnostic::{Code, Diagnostic};
use tidegate::object::{Kind, SourceEvent};

use crate::objects::Objects;

impl Objects {
    fn kind(&mut self) -> Kind {
        *self.random.of(&[
            &Kind::IngressClass,
            &Kind::ClassParameters,
            &Kind::Ingress,
            &Kind::Ingress,
            &Kind::Ingress,
            &Kind::Ingress,
            &Kind::Service,
            &Kind::EndpointSlice,
            &Kind::Secret,
        ])
    }

    pub(crate) fn event(&mut self) -> SourceEvent {
        match self.random.below(40) {
            0 => {
                let kind = self.kind();
                SourceEvent::Unavailable { kind, reason: self.random.of(&["403", "404"]).to_owned() }
            }
            1 | 2 => self.replace(),
            3 => {
                let file = self.reference(Kind::File);
                let problem = Diagnostic::of(&file, Code::InvalidFile, "line 1");
                SourceEvent::File { problems: if self.random.one_in(2) { vec![problem] } else { Vec::new() }, file }
            }
            4 | 5 => {
                let addresses: Vec<IpAddr> =
                    (0..self.random.below(3)).map(|_| self.random.of(&["192.0.2.1", "2001:db8::1"]).parse().unwrap()).collect();
                let problem = self.random.one_in(3).then(|| (Code::UnresolvedExternalName, "no such name".to_owned()));
                SourceEvent::Resolved { name: self.random.of(&["one.example.org", "two.example.org"]).into(), addresses, problem }
            }
            6..=13 => {
                let kind = self.kind();
                SourceEvent::Delete(self.reference(kind))
            }
            _ => {
                let kind = self.kind();
                let reference = self.reference(kind);
                SourceEvent::Apply(Box::new(self.object(reference)))
            }
        }
    }

    fn replace(&mut self) -> SourceEvent {
        let kind = self.kind();
        let namespaced = !matches!(kind, Kind::IngressClass | Kind::ClassParameters);
        let namespace = (namespaced && self.random.one_in(2)).then(|| self.namespace());
        let mut objects = BTreeMap::new();
        for _ in 0..self.random.below(6) {
            let reference = self.reference(kind);
            if namespace.is_none_or(|namespace| namespace == &*reference.namespace) {
                objects.insert(reference.clone(), self.object(reference));
            }
        }
        SourceEvent::Replace { kind, namespace: namespace.map(Into::into), objects: objects.into_values().collect() }
    }
}

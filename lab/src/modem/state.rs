//! The modem itself, its SIM and its network.

use std::collections::VecDeque;

use chrono::{DateTime, FixedOffset};
use ringdown::modem::pdu::{Pdu, StatusReport, Submit};

use super::{Fault, Setup, Step, Steps, Submitted};

pub(super) struct State {
    pub(super) setup: Setup,
    pub(super) is_plugged: bool,
    pub(super) is_mute: bool,
    pub(super) faults: VecDeque<Fault>,
    pub(super) submitted: Vec<Submitted>,
    pub(super) heard: Vec<String>,
    pub(super) registration: u8,
    pub(super) signal: u8,
    pub(super) smsc: String,

    /// The SIM: by index, from 1; whether it was read.
    pub(super) memory: Vec<Option<Kept>>,
    pub(super) tries: u8,
    pub(super) is_locked: bool,
    /// What the network keeps until there is room.
    pub(super) network: VecDeque<Pdu>,
    pub(super) next_reference: u8,

    /// What it forgets when it restarts.
    pub(super) echo: bool,
    pub(super) errors: u8,
    pub(super) pdu_mode: bool,
    pub(super) tells_messages: bool,
    /// `<ds>` of `+CNMI`.
    pub(super) tells_reports: u8,
    pub(super) numeric_operator: bool,
    pub(super) line: Vec<u8>,
    /// The PDU that it waits for, by its length, with what is to go wrong then.
    pub(super) awaits: Option<(usize, Option<Fault>)>,
    pub(super) steps: Steps,
}

#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) pdu: Pdu,
    pub(super) was_read: bool,
}

/// When everything happens.
pub(super) fn stamp() -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339("2026-11-21T22:17:51+01:00").unwrap_or_default()
}

impl State {
    pub(super) fn new(setup: Setup) -> Self {
        let mut state = Self {
            is_plugged: true,
            is_mute: false,
            faults: VecDeque::new(),
            submitted: Vec::new(),
            heard: Vec::new(),
            registration: 1,
            signal: 20,
            smsc: "+491710760000".to_owned(),
            memory: vec![None; setup.capacity],
            tries: setup.pin.as_ref().map_or(3, |(_, tries)| *tries),
            is_locked: false,
            network: VecDeque::new(),
            next_reference: 1,
            echo: true,
            errors: 0,
            pdu_mode: false,
            tells_messages: false,
            tells_reports: 0,
            numeric_operator: false,
            line: Vec::new(),
            awaits: None,
            steps: Steps::new(),
            setup,
        };
        state.restart();
        state
    }

    /// As after power has come back.
    pub(super) fn restart(&mut self) {
        self.is_mute = false;
        self.is_locked = self.setup.pin.is_some();
        self.echo = true;
        self.errors = 0;
        // The default is up to the maker; this one is the more awkward.
        self.pdu_mode = false;
        self.tells_messages = false;
        self.tells_reports = 0;
        self.line.clear();
        self.awaits = None;
        self.steps.clear();
    }

    pub(super) fn say(&mut self, text: String) {
        if !self.is_mute {
            self.steps.push_back(Step::Say(text.into_bytes()));
        }
    }

    /// What is to be done about what was heard, and about what has happened meanwhile.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Steps {
        for byte in bytes {
            self.hear_byte(*byte);
        }
        std::mem::take(&mut self.steps)
    }

    fn hear_byte(&mut self, byte: u8) {
        if self.echo && byte != 0x1b {
            self.say(char::from(byte).to_string());
        }
        match (byte, self.awaits) {
            (0x1a, Some((length, fault))) => {
                self.awaits = None;
                let hex = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                self.take_pdu(&hex, length, fault);
            }
            (0x1b, Some(_)) => {
                self.awaits = None;
                self.line.clear();
                self.say("\r\nOK\r\n".to_owned());
            }
            (b'\r' | b'\n', Some(_)) => {}
            // An escape where there is no prompt is nothing to it.
            (0x1b | b'\n', None) => {}
            (b'\r', None) => {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                if !line.is_empty() {
                    self.heard.push(line.clone());
                    self.command(&line);
                }
            }
            _ => self.line.push(byte),
        }
    }

    fn take_pdu(&mut self, hex: &str, length: usize, fault: Option<Fault>) {
        let read = Pdu::from_hex(hex).ok().and_then(|pdu| Some((Submit::decode(&pdu).ok()?, pdu)));
        let Some((submit, pdu)) = read.filter(|(_, pdu)| pdu.length() == length) else {
            return self.message_error(304);
        };
        self.submitted.push(Submitted { pdu, submit: submit.clone() });
        if !self.setup.message_takes.is_zero() {
            self.steps.push_back(Step::Wait(self.setup.message_takes));
        }
        match fault {
            Some(Fault::UnplugAfterPdu) => return self.steps.push_back(Step::Unplug),
            Some(Fault::MuteAfterPdu) => {
                self.is_mute = true;
                return;
            }
            Some(Fault::Refuse(code)) => return self.message_error(code),
            _ => {}
        }
        // 331: no network service.
        if !matches!(self.registration, 1 | 5) {
            return self.message_error(331);
        }
        let reference = self.next_reference;
        self.next_reference = reference.wrapping_add(1);
        if fault == Some(Fault::StopInLine) {
            self.say(format!("\r\n+CMGS: {}", reference / 10));
            return self.steps.push_back(Step::Unplug);
        }
        let report = self.setup.reports.filter(|_| submit.report).map(|status| StatusReport {
            smsc: None,
            reference,
            recipient: Some(submit.destination),
            submitted: Some(stamp()),
            at: Some(stamp()),
            status,
            more: false,
        });
        if fault == Some(Fault::ReportFirst)
            && let Some(report) = &report
        {
            self.reports(report.encode());
        }
        self.say(format!("\r\n+CMGS: {reference}\r\n\r\nOK\r\n"));
        if fault != Some(Fault::ReportFirst)
            && let Some(report) = &report
        {
            self.reports(report.encode());
        }
    }

    /// A message from the network.
    pub(super) fn arrives(&mut self, pdu: Pdu) {
        self.network.push_back(pdu);
        self.deliver();
    }

    /// A report is told, or stored as a message is.
    pub(super) fn reports(&mut self, pdu: Pdu) {
        if self.tells_reports == 1 {
            self.say(format!("\r\n+CDS: {}\r\n{}\r\n", pdu.length(), pdu.to_hex()));
        } else {
            self.arrives(pdu);
        }
    }

    /// Puts into the SIM what it has room for.
    pub(super) fn deliver(&mut self) {
        while let Some(free) = self.memory.iter().position(Option::is_none) {
            let Some(pdu) = self.network.pop_front() else { return };
            let what = if pdu.octets().get(pdu.octets().len() - pdu.length()).is_some_and(|first| first & 3 == 2) {
                "+CDSI"
            } else {
                "+CMTI"
            };
            self.memory[free] = Some(Kept { pdu, was_read: false });
            if self.tells_messages {
                self.say(format!("\r\n{what}: \"SM\",{}\r\n", free + 1));
            }
        }
    }
}

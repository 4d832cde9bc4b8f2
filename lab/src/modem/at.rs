//! Its commands: those that ringdown, gammu and smstools use.

use super::{Fault, Step, state::State};

impl State {
    pub(super) fn command(&mut self, line: &str) {
        if self.is_mute {
            if line == "AT+CFUN=1,1" {
                self.restart();
            }
            return;
        }
        let Some(command) = line.get(2..).filter(|_| line.is_char_boundary(2) && line[..2].eq_ignore_ascii_case("AT"))
        else {
            return self.say("\r\nERROR\r\n".to_owned());
        };
        let command = command.trim();
        let at = command.find(['?', '=']).unwrap_or(command.len());
        let (name, rest) = command.split_at(at);
        match self.plain(name, rest) {
            Some(answer) => return self.answer(&answer),
            None if self.is_locked && !matches!(name, "+CPIN" | "+CPINR" | "^CPIN") => return self.equipment_error(11),
            None => {}
        }
        match (name, rest) {
            ("+CPIN", "?") => self.answer(if !self.is_locked {
                "+CPIN: READY"
            } else if self.tries == 0 {
                "+CPIN: SIM PUK"
            } else {
                "+CPIN: SIM PIN"
            }),
            ("+CPIN", entered) => self.pin(entered.trim_start_matches('=').trim_matches('"').to_owned().as_str()),
            ("+CPINR", _) if self.setup.tells_tries => self.answer(&format!("+CPINR: SIM PIN,{},3", self.tries)),
            ("+CMGF", "?") => self.answer(if self.pdu_mode { "+CMGF: 0" } else { "+CMGF: 1" }),
            ("+CMGF", "=?") => self.answer("+CMGF: (0,1)"),
            ("+CMGF", mode) => {
                self.pdu_mode = mode == "=0";
                self.answer("");
            }
            ("+CPMS", "=?") => self.answer("+CPMS: (\"SM\"),(\"SM\"),(\"SM\")"),
            ("+CPMS", "?") => {
                let (used, all) = self.used();
                self.answer(&format!("+CPMS: \"SM\",{used},{all},\"SM\",{used},{all},\"SM\",{used},{all}"));
            }
            ("+CPMS", wanted) => {
                if wanted.trim_start_matches('=').split(',').any(|memory| memory.trim_matches('"') != "SM") {
                    return self.message_error(302);
                }
                let (used, all) = self.used();
                self.answer(&format!("+CPMS: {used},{all},{used},{all},{used},{all}"));
            }
            ("+CSCA", "?") => self.answer(&format!("+CSCA: \"{}\",145", self.smsc)),
            ("+CSCA", wanted) => {
                self.smsc = wanted.split('"').nth(1).unwrap_or_default().to_owned();
                self.answer("");
            }
            ("+CNMI", "=?") => self.answer("+CNMI: (0-2),(0,1),(0),(0-2),(0)"),
            ("+CNMI", wanted) => self.tell(wanted.trim_start_matches('=')),
            ("+CMGL", _) => self.list(),
            ("+CMGR", index) => self.read(index.trim_start_matches('=').parse().unwrap_or(0)),
            ("+CMGD", index) => self.delete(index.trim_start_matches('=')),
            ("+CMGS", length) => self.send(length.trim_start_matches('=')),
            ("+CREG", "?") => self.answer(&format!("+CREG: 0,{}", self.registration)),
            ("+COPS", "?") => self.answer(match (self.registration, self.numeric_operator) {
                (1 | 5, false) => "+COPS: 0,0,\"Ringnet\",2",
                (1 | 5, true) => "+COPS: 0,2,\"26201\",2",
                _ => "+COPS: 0",
            }),
            ("+COPS", format) => {
                self.numeric_operator = format == "=3,2";
                self.answer("");
            }
            ("+CIMI", _) => self.answer("262019876543210"),
            ("+CNMA", _) if self.setup.service > 0 => self.answer(""),
            _ => self.equipment_error(4),
        }
    }

    /// What it answers whatever the SIM says.
    fn plain(&mut self, name: &str, rest: &str) -> Option<String> {
        match (name, rest) {
            ("" | "V1" | "Q0" | "&F" | "&D0" | "&D2", "") => {}
            ("E0" | "E", "") => self.echo = false,
            ("E1", "") => self.echo = true,
            ("Z", "") => self.restart(),
            ("+CFUN", "=1,1") => {
                self.restart();
                return Some(String::new());
            }
            ("+CMEE", "?") => return Some(format!("+CMEE: {}", self.errors)),
            ("+CMEE", wanted) => self.errors = wanted.trim_start_matches('=').parse().ok()?,
            ("+CGMI", "") => return Some("Ringdown".to_owned()),
            ("+CGMM", "") => return Some("+CGMM: \"Simulated\"".to_owned()),
            ("+CGMR", "") => return Some("1.0".to_owned()),
            ("+CGSN", "") => return Some("490154203237518".to_owned()),
            ("+CSQ", "") => return Some(format!("+CSQ: {},99", self.signal)),
            ("+CSCS", "?") => return Some("+CSCS: \"GSM\"".to_owned()),
            ("+CSCS", "=?") => return Some("+CSCS: (\"GSM\")".to_owned()),
            ("+CSCS", "=\"GSM\"") => {}
            ("+CSMS", "?") => return Some(format!("+CSMS: {},1,1,1", self.setup.service)),
            ("+CSMS", "=0") => return Some("+CSMS: 1,1,1".to_owned()),
            _ => return None,
        }
        Some(String::new())
    }

    fn answer(&mut self, lines: &str) {
        let lines = if lines.is_empty() { String::new() } else { format!("\r\n{lines}\r\n") };
        self.say(format!("{lines}\r\nOK\r\n"));
    }

    fn equipment_error(&mut self, code: u16) {
        let error = if self.errors == 0 { "ERROR".to_owned() } else { format!("+CME ERROR: {code}") };
        self.say(format!("\r\n{error}\r\n"));
    }

    pub(super) fn message_error(&mut self, code: u16) {
        self.say(format!("\r\n+CMS ERROR: {code}\r\n"));
    }

    fn pin(&mut self, entered: &str) {
        let is_right = self.setup.pin.as_ref().is_some_and(|(pin, _)| pin == entered);
        if !self.is_locked || self.tries == 0 {
            return self.equipment_error(3);
        }
        if is_right {
            self.is_locked = false;
            self.tries = 3;
            return self.answer("");
        }
        self.tries -= 1;
        self.equipment_error(if self.tries == 0 { 12 } else { 16 });
    }

    fn used(&self) -> (usize, usize) {
        (self.memory.iter().flatten().count(), self.memory.len())
    }

    fn tell(&mut self, wanted: &str) {
        let values: Vec<u8> = wanted.split(',').filter_map(|value| value.trim().parse().ok()).collect();
        let reports = values.get(3).copied().unwrap_or(0);
        if reports == 2 && !self.setup.stores_reports {
            return self.message_error(303);
        }
        self.tells_messages = values.get(1) == Some(&1);
        self.tells_reports = reports;
        self.answer("");
    }

    fn list(&mut self) {
        if !self.pdu_mode {
            return self.message_error(302);
        }
        let mut lines = Vec::new();
        for (place, kept) in self.memory.iter_mut().enumerate() {
            let Some(kept) = kept else { continue };
            let stat = u8::from(kept.was_read);
            kept.was_read = true;
            lines.push(format!("+CMGL: {},{stat},,{}\r\n{}", place + 1, kept.pdu.length(), kept.pdu.to_hex()));
        }
        self.answer(&lines.join("\r\n"));
    }

    fn read(&mut self, index: usize) {
        let Some(Some(kept)) = index.checked_sub(1).and_then(|place| self.memory.get_mut(place)) else {
            return self.message_error(321);
        };
        let stat = u8::from(kept.was_read);
        kept.was_read = true;
        let answer = format!("+CMGR: {stat},,{}\r\n{}", kept.pdu.length(), kept.pdu.to_hex());
        self.answer(&answer);
    }

    fn delete(&mut self, index: &str) {
        let place = index.split(',').next().and_then(|index| index.parse::<usize>().ok()?.checked_sub(1));
        let Some(kept) = place.and_then(|place| self.memory.get_mut(place)) else {
            return self.message_error(321);
        };
        *kept = None;
        self.answer("");
        self.deliver();
    }

    fn send(&mut self, length: &str) {
        let Some(length) = length.parse().ok().filter(|_| self.pdu_mode) else { return self.message_error(304) };
        let fault = self.faults.pop_front();
        if fault == Some(Fault::MuteAtCommand) {
            self.is_mute = true;
            return;
        }
        self.say("\r\n> ".to_owned());
        if fault == Some(Fault::UnplugAtPrompt) {
            self.steps.push_back(Step::Unplug);
            return;
        }
        self.awaits = Some((length, fault));
    }
}

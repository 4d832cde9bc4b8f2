//! Sounds, as py-phone-caller's audio service made them: named by a checksum, which here is a digest.

use poem_openapi::{ApiResponse, Object, OpenApi, param::Query, payload::Json};

use super::fields::Fields;
use crate::{
    api::{
        State, Tag,
        auth::{PlacesCalls, ReadsCalls},
        error::Problem,
    },
    speech::Speech,
};

/// Sounds.
pub struct Audio(pub State);

/// A sound.
#[derive(Debug, Object)]
#[oai(rename = "CompatAudio")]
struct Sound {
    /// 200 if it is there, else 404.
    status: u16,
    /// What it is called.
    msg_chk_sum: String,
    /// Whether it is there.
    ready: bool,
}

#[derive(ApiResponse)]
enum Ready {
    /// It is there.
    #[oai(status = 200)]
    Yes(Json<Sound>),
    /// It is not there.
    #[oai(status = 404)]
    No(Json<Sound>),
}

/// The language of a text that nobody is named for.
const LANGUAGE: &str = "en";

#[OpenApi(tag = "Tag::Compat")]
impl Audio {
    /// Turn a text into sound
    ///
    /// It is there when this answers. Calls need no such preparation: what they say is rendered while they ring.
    #[oai(path = "/make_audio", method = "post", operation_id = "compat_make_audio", deprecated)]
    async fn make_audio(
        &self,
        _caller: PlacesCalls,
        /// The text.
        #[oai(validator(max_length = 100_000))]
        message: Query<Option<String>>,
        fields: Fields,
    ) -> Result<Json<Sound>, Problem> {
        let message = fields.message(message.0)?;
        let speech = self.speech()?;
        let said = speech.say(LANGUAGE, &[&message], self.0.clock.now().into()).await;
        said.map_err(|error| Problem::unavailable(error.to_string()))?;
        Ok(Json(Sound { status: 200, msg_chk_sum: speech.name_of(LANGUAGE, &message), ready: true }))
    }

    /// Whether a sound is there
    #[oai(path = "/is_audio_ready", method = "get", operation_id = "compat_is_audio_ready", deprecated)]
    async fn is_audio_ready(
        &self,
        _caller: ReadsCalls,
        /// The sound, as `/make_audio` names it.
        #[oai(validator(max_length = 150))]
        msg_chk_sum: Query<String>,
    ) -> Result<Ready, Problem> {
        let name = checksum(&msg_chk_sum.0)?;
        let ready = self.speech()?.is_ready(name, self.0.clock.now().into());
        let status = if ready { 200 } else { 404 };
        let sound = Json(Sound { status, msg_chk_sum: name.to_owned(), ready });
        Ok(if ready { Ready::Yes(sound) } else { Ready::No(sound) })
    }
}

impl Audio {
    fn speech(&self) -> Result<&Speech, Problem> {
        self.0.speech.as_ref().ok_or_else(|| Problem::unavailable("there is no speech"))
    }
}

/// The name of a sound: hexadecimal digits, and never a path.
pub(super) fn checksum(text: &str) -> Result<&str, Problem> {
    let text = text.trim();
    if (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_hexdigit()) {
        Ok(text)
    } else {
        Err(Problem::unprocessable("msg_chk_sum: is no checksum (hexadecimal digits)"))
    }
}

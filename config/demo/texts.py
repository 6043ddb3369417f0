"""What the demo's people write: on asking to join, about themselves, and on deciding."""

COMMENTS = (
    "Looking forward to it!",
    "I can help at the door from noon.",
    "Two of us, we share a room with the Lisbon crew.",
    "First time here. A friend told me about you.",
    "I use a wheelchair. Is the boathouse step-free?",
    "I'd love to show a prototype, if there is a table left.",
    "Was there last time, best days of my year.",
    "Vegetarian, no nuts please.",
    "Arriving late on the first day, the train gets in at 14:10.",
    "Je viens avec ma sœur, elle ne parle que français.",
    "Can I pay at the door?",
    "私は通訳が必要です。よろしくお願いします。",
    "مرحباً، هل يمكنني إحضار ابنتي؟",
    "Our choir would sing on the quay, free of charge & out of tune.",
    'The form said "tell us about you". I repair sails.',
    "Please let me know soon, I have to ask for leave.",
    "+1 is my dog. Only joking. (Or may I?)",
)

_LONG = (
    "I should explain why I ask. For six years I have kept the notebook of our allotment association, which is "
    "not a grand office: who has the key, whose turn it is at the pump, how many chairs came back. Last spring "
    "the notebook fell into the pond. Since then forty families have agreed on nothing, and I have learnt more "
    "about databases than I ever wished to. I would like to meet people who have lost a notebook as well. "
)
LONG_COMMENT = (_LONG * 6)[:1999].rstrip().ljust(1999, ".") + "!"
"""As long as a comment may be."""

APPROVED_NOTES = ("Welcome!", "Speaker's guest.", "Waited long enough.", "Helps at the door on the second day.", "")
DECLINED_NOTES = (
    "We keep this one for members; do come to the next.",
    "Asked three times for places for resale.",
    "Not enough room for five people together, sorry.",
    "",
)
REMOVED = "Asked us by phone to be taken off the list."
BANNED = "Shouted at the door team, twice."
BANNED_APPLICANT = "Was banned from the last gathering for the same reason."

GOALS = (
    "Find two people to test an offline map with.",
    "Learn how others hand over volunteer work.",
    "Hire a boat builder, or become one.",
    "Listen. Say little.",
    "Meet other librarians.",
    "Get our repair café through its first winter.",
    "Compare notes on queues, gates and patience.",
    "Find a home for forty metres of neon.",
)
LOOKING_FOR = (
    "A co-founder who likes paperwork",
    "Somebody to share a workshop with",
    "Speakers for a small sea school",
    "A second-hand badge printer",
    "Funding for a tactile map",
    "Company for a walk at low tide",
    "Nothing in particular, surprise me",
    "A mentor in accessibility",
)
INTERESTS = ("accessibility", "archives", "boats", "energy", "food", "maps", "music", "queues", "repair", "typography")
LANGUAGES = ("en", "pt", "fr", "tr", "ar", "ja", "sw", "pl", "es", "hi")

NO_TICKETS = ("https://harbour.example/menu", "WIFI:T:WPA;S:Harbour Guest;P:saltwater;;", "SEAT-14C")
"""What else people hold in front of a scanner."""
EXCUSES = (
    "Called this morning: down with the flu.",
    "Ferry cancelled, sends her best wishes.",
    "Asked for a refund a week ago; we agreed.",
)
BY_HAND = "Phone was empty; checked the name against an ID."
SET_BACK = "Wrong person scanned, the two share a phone."

CALLED_OFF = "Its speaker is stuck on the wrong side of a strike."
SEAT_TAKEN = "You told us at the desk that you are leaving early."
FEEDBACK = {
    5: (
        "Best hour of the day.",
        "I have been looking for this for years, and it was in the shed across the yard.",
        "Merci ! À refaire.",
        "とても良かったです。",
    ),
    4: ("Good, and on time.", "Would have liked ten minutes more for questions.", "Lovely, but cold."),
    3: ("Fine.", "I knew half of it. The other half was worth coming for."),
    2: ("Couldn't hear a thing at the back.", "Not what the title says."),
    1: ("The projector had the last word.",),
}

CONCERNS = {
    # By the name of their place in the line (config.demo.service).
    "smoke": "There is a smell of burnt plastic from the lamp controller at the long table. I switched it off. Please "
    "come before somebody switches it on again.",
    "chain": "The chain of the cargo bike keeps jumping off, always on the way back, never on the way there.",
    "adapter": "Who has an adapter from that to HDMI?",
    "winch": "The hand winch of the big sail doesn't hold any more. We have tied it up for now, it's the one at the "
    "east crane.",
    "projector": "My slides are green. All of them, also the ones that are not meant to be.",
    "hum": "There is a hum on the left loudspeaker in the Boathouse. It stops when nobody is listening.",
    "badge": "My phone doesn't join the network here: “authentication problem”, whatever I type.",
    "ramp": "The ramp at the side entrance is locked, and I am in front of it in a wheelchair.",
    "booth": "Nobody in the interpreters' booth hears the floor. The talk begins in twenty minutes.",
}
SMALL_CONCERNS = (
    "The microphone of the second table cuts out.",
    "How do I get the screen to mirror?",
    "A wheel of the exhibit has come loose.",
    "We need another extension lead, a long one.",
    "My badge reader shows three red dots.",
    "The stream is a minute behind the stage.",
    "Could somebody look at my soldering before I plug it in?",
    "Le câble réseau de la salle 2 est coupé, je crois.",
    "プロジェクターが認識されません。",
    "The lamp above the stand flickers, it makes people blink.",
)
CHATS = {
    # The customer begins, then they take turns.
    "projector": (
        "Hello! Hall 2, the desk at the very front.",
        "On my way. Does it help if you push the plug in until it clicks?",
        "It clicked. Now it is purple.",
        "Then it's the cable. I'm bringing another one, two minutes.",
    ),
    "hum": ("It hums again.", "Is the dimmer on? Turn it fully up or fully down, nothing in between."),
    "booth": (
        "Still nothing in the booth.",
        "I see no signal on line 3 from here. Can you read me the label on the receiver?",
        "MF-3, and a small light, orange.",
    ),
}

MESSAGES = {
    # By the name of its act (config.demo.messages): subject and text.
    "welcome": (
        "See you at {event}",
        (
            "Hello {name},\n\nwe are looking forward to {event}. Bring your ticket, on paper or on your phone, and a "
            "warm layer for the evening.\n\nUntil then!"
        ),
    ),
    "thanks": (
        "Thank you for coming",
        "Dear {name},\n\nthank you for coming to {event}. Pictures will follow. If you lost a glove, we have eleven.",
    ),
    "missed": ("We missed you", "Dear {name},\n\nyour place at {event} stayed empty. What kept you? Just answer."),
    "ferry": ("The last ferry", "{event}: the last ferry goes at 23:40 from the north pier, not at midnight."),
    "room": ("Another room", "{name}, the talk in the Boathouse moves to the Hall, as more of you came than it holds."),
    "lost": ("Lost and found", "A green umbrella and a set of keys wait at the North entrance."),
    "goodbye": ("Goodbye, and a question", "Dear {name},\n\nwhat should we do otherwise at the next {event}?"),
    "programme": (
        "The programme is out",
        "Dear {name},\n\nten prototypes, ten tables: all about {event}.",
    ),
    "address": ("Other entrance", "{event}: please come in by Pier 9, gate C. Gate A is a building site."),
    "tables": ("Your table", "Dear {name},\n\nyou have a table at {event}. Power is 110 V, at the floor."),
    "reminder": ("Tomorrow: {event}", "{name}, tomorrow it is. Doors open half an hour before the welcome."),
    "empty": ("Volunteers wanted", ""),
    "shuttle": ("", "{event}: a bus goes up the hill each quarter of an hour, from the station's south side."),
    "rates": ("", "{event}: the hotel keeps its rate for you until Friday."),
    "mistake": ("Dinner on Thursday", "Dear {name},\n\ndinner is on Thursday at eight."),
    "agenda": ("Agenda of the forum", "Dear {name},\n\nthe agenda of {event} is not final yet, but nearly."),
}
COUPLE = ("Rosalind Penhallowick", "Rowan Penhallowick")
"""They share a phone."""

# What providers say.
BOUNCED_MAIL = ("550 5.1.1 No such user here", "550 5.1.2 Host unknown")
FAILED_MAIL = ("552 5.2.2 Mailbox full",)
FAILED_PUSH = ("No device takes pushes any more.",)
FAILED_SMS = ("Message delivery - carrier violation (30007)", "Unreachable destination handset (30003)")
BOUNCED_SMS = ("The 'To' number is not a valid phone number. (21211)", "Landline or unreachable carrier (30006)")
UNKNOWN_SMS = ("No answer came: timed out after the text was handed over",)
NO_SUCH_COUNTRY = "Permission to send an SMS has not been enabled for the region. (21408)"

"""What the workshop has written over the years. The same every time: one seed, fixed dates."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

SEED = 1974
BEGAN = datetime(2023, 1, 9, 8, 30)
CATEGORIES = {"boats": "Boats", "timber": "Timber", "tools": "Tools", "courses": "Courses", "harbour": "Harbour life"}
TITLES = """The keel is laid|A larch from the ridge|Sharpening day|Steaming the garboards|Notes on bronze rivets
Why we still use pine tar|The old slipway, repaired|Oars for a faering|A visit from Jörg|Twelve planks in a week
Building a mould loft|Winter storage, done right|Three glues compared|The sail maker's bench|Clinker or carvel?
Launching “Marie Sophie”|Reading the grain|The adze and the axe|A mast from one tree|Rot, and how to find it
Our new steam box|Spring fitting out|Students of the autumn course|Copper nails and roves|Lofting without tears
The ferry at Arnis|Oak frames, grown crooked|Varnish in the rain|Planes we love|Repairing a centreboard case
A dinghy for the school|What a cooper taught us|Caulking cotton|From drawing to half model|Storm damage, and what stood
The museum's herring boat|Rope, hemp and otherwise|Buying timber abroad|Fair lines|One year of “Hilde”""".replace(
    "\n", "|"
).split("|")
SENTENCES = """The tide was out when we began, and the light came in low over the sheds.
Larch bends when it is wet and forgives when it is warm; after that it forgives nothing.
We took the shape from the old moulds and corrected it by eye, which is to say by argument.
Nobody hurries a plank. You may hurry the kettle.
A sharp plane sounds like silk; a dull one sounds like work.
The frames came from crooked oak, grown that way on the windy side of the hill.
Every rivet is one of a thousand, and each of them wants to be the first to leak.
Jörg says the water will find it. Jörg is usually right.
Pine tar, linseed oil and patience: the recipe has not changed since my grandfather's day.
By evening the last strake was on, and we stood back further than was needed.
The customer wanted white. The boat, we felt, wanted oil. The boat is in oil.
It took two of us to carry the mast and four to agree where to put it.""".split("\n")
PEOPLE = (
    ("Anna Brodersen", "anna"), ("Siân Pugh", "sian"), ("Tomás Vela", "tomas"), ("Inès Roy", "ines"),
    ("Øyvind Lie", "oyvind"), ("Frau Petersen", "petersen"), ("A. Nilsson", "nilsson"),
)  # fmt: skip
REPLIES = (
    "Beautiful work, we saw her at the pier last week.",
    "Which larch do you use? Ours never stays straight.",
    "See also {home}/timber/ — that page answered my question.",
    "Grüße aus Kappeln ⚓",
    "I would not have believed that without the pictures.",
    "Thank you for writing this down. Nobody does.",
)
PAGES = (
    ("home", "Home", "Welcome to the shed. We build, mend and teach, and we put the kettle on for anyone who asks."),
    ("workshop", "The workshop", "Two sheds, one slipway, and every tool where it was left."),
    ("boats", "Our boats", "Faerings, dinghies and the odd herring boat, each of them one of a kind."),
    ("courses", "Courses", "Learn to bend, rivet and varnish. [harbour_courses]"),
    ("journal", "Journal", ""),
    ("gallery", "Gallery", "Fifty years of boats, and the people who would not leave them alone."),
    ("about", "About us", "Maren Holt runs the yard her grandfather began in 1974."),
    ("timber", "Timber", "Larch, oak, ash and pine, and where each of them goes."),
    ("prices", "Prices", "A fair boat at a fair price: an hour is an hour, and we write them down."),
    ("repairs", "Repairs", "From a split plank to a new keel."),
    ("contact", "Contact", "Come by, or write to <a href='mailto:shed@harbour-pine.example'>the shed</a>."),
    ("imprint", "Imprint", "Harbour & Pine, Hafenstraße 7, Arnis."),
)
USERS = (
    ("joerg", "Jörg Petersen", "editor"), ("sian", "Siân Pugh", "author"), ("tomas", "Tomás Vela", "author"),
    ("office", "The office", "contributor"), ("guest", "A friend of the yard", "subscriber"),
)  # fmt: skip


def pictures(count: int) -> list[dict[str, Any]]:
    """Names, sizes and seeds of `count` pictures: mostly JPEG, some PNG, some WebP."""
    subjects = (
        "Morning on the Schlei",
        "Under sail",
        "At the slipway",
        "Evening calm",
        "Off Arnis",
        "Home before dark",
    )
    found = []
    for n in range(count):
        ending = "png" if n % 10 == 9 else "webp" if n % 10 == 4 else "jpg"
        taken = BEGAN + timedelta(days=2 * n)
        found.append(
            {
                "file": f"{taken:%Y/%m}/schlei-{n + 1:03d}.{ending}",
                "title": f"{subjects[n % 6]}, no. {n // 6 + 1}",
                "date": f"{taken:%Y-%m-%d %H:%M:%S}",
                "seed": SEED + n,
                "width": 1280 if n % 4 else 1600,
                "height": 853 if n % 4 else 1067,
            }
        )
    return found


def content(password: str) -> dict[str, Any]:
    """Everything demo/site/php/content.php wants, but the ids of the pictures. `password` is that of the users."""
    chance = random.Random(SEED)
    return {
        "categories": CATEGORIES,
        "users": [
            {
                "user_login": login,
                "user_pass": password,
                "user_email": f"{login}@harbour-pine.example",
                "display_name": name,
                "role": role,
                "description": f'{name} writes in <a href="{{home}}/journal/">the journal</a>.',
            }
            for login, name, role in USERS
        ],
        "pages": [_page(n, *page, chance) for n, page in enumerate(PAGES)],
        "posts": [_post(n, title, chance) for n, title in enumerate(TITLES)],
        "comments": [_comment(n, chance) for n in range(80)],
    }


def _paragraphs(chance: random.Random, count: int) -> list[str]:
    texts = (" ".join(chance.sample(SENTENCES, 4)) for _ in range(count))
    return [f"<!-- wp:paragraph -->\n<p>{text}</p>\n<!-- /wp:paragraph -->" for text in texts]


def _date(day: datetime) -> str:
    return f"{day:%Y-%m-%d %H:%M:%S}"


def _page(n: int, slug: str, title: str, text: str, chance: random.Random) -> dict[str, str]:
    blocks = [f"<!-- wp:paragraph -->\n<p>{text}</p>\n<!-- /wp:paragraph -->", *_paragraphs(chance, 2 if text else 0)]
    images = 12 if slug == "gallery" else 0 if slug in ("imprint", "prices", "journal") else 1
    blocks += [f"{{image:{n * 11 + k}:{'medium_large' if images > 1 else 'large'}}}" for k in range(images)]
    if slug == "home":
        links = '<a href="{home}/about/">who we are</a>, or look at <a href="//{host}/boats/">our boats</a>'
        blocks.append(f"<p>New here? Read {links}.</p>")
    return {"slug": slug, "title": title, "content": "\n\n".join(blocks), "date": _date(BEGAN + timedelta(hours=n))}


def _post(n: int, title: str, chance: random.Random) -> dict[str, Any]:
    blocks = _paragraphs(chance, 4)
    blocks.insert(1, f"{{image:{n * 5 + 1}:large}}")
    said = f'<blockquote class="wp-block-quote"><p>{chance.choice(SENTENCES)}</p></blockquote>'
    blocks.insert(3, f"<!-- wp:quote -->\n{said}\n<!-- /wp:quote -->")
    links = '<a href="{home}/workshop/">the workshop</a>, <a href="{home}/timber/">our timber</a>'
    blocks.append(f"<p>More about this: {links}.</p>")
    slugs = list(CATEGORIES)
    return {
        "title": title,
        "content": "\n\n".join(blocks),
        "excerpt": chance.choice(SENTENCES),
        "date": _date(BEGAN + timedelta(days=14 * n + 3, hours=n % 9)),
        "category": slugs[n % len(slugs)],
        "tags": chance.sample(["larch", "oak", "pine tar", "faering", "rivets", "Schlei", "winter", "steam"], 3),
    }


def _comment(n: int, chance: random.Random) -> dict[str, Any]:
    name, login = chance.choice(PEOPLE)
    post = n * 7 % len(TITLES)
    return {
        "post": post,
        "author": name,
        "email": f"{login}@example.net",
        "url": "{home}/author/joerg/" if n % 6 == 0 else "",
        "content": chance.choice(REPLIES),
        "date": _date(BEGAN + timedelta(days=14 * post + 4 + n % 9, hours=n % 12)),
        "approved": 0 if n % 20 == 19 else 1,
        "reply": n % 5 == 4,
    }

"""The pages by which tunnels, hosts, proxies and networks can be recognised in an HTTP answer.

To add one, add a row to `PAGES`; the first row that matches is taken.  A row names who answers and
not only why: a page of something on the way says nothing about the server behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

GATEWAY_STATUSES = frozenset({502, 503, 504})
"""What a proxy answers when it did not reach the server behind it."""

_EMPTY = r"\A\s*\Z"

_ERRORS = frozenset(range(400, 600))
_LOGINS = frozenset({302, 307, 401})

_START_BEHIND = "Start the server, and compare its port with the one that {} leads to"


@dataclass(frozen=True, slots=True)
class AnswerPage:
    """How an answer of something on the way is recognised, and what it means.

    All conditions that are given must hold.

    Attributes:
        source: Who answers.
        problem: What the answer says; continues "answered by …".
        fix: What to do about it.
        statuses: The statuses that it may have; empty for any.
        head: A pattern of the headers, each on a line as ``name: value``, names in lower case.
        body: A pattern of the body.
        host: A pattern of the host of the URL that was requested.
        is_passing: Whether it may go away by itself after a tunnel was opened.
    """

    source: str
    problem: str
    fix: str
    statuses: frozenset[int] = _ERRORS
    head: str = ""
    body: str = ""
    host: str = ""
    is_passing: bool = False

    def matches(self, status: int, head: str, body: str, host: str) -> bool:
        """Whether the answer is this page."""
        return (not self.statuses or status in self.statuses) and all(
            re.search(pattern, text, re.IGNORECASE | re.MULTILINE)
            for pattern, text in ((self.head, head), (self.body, body), (self.host, host))
            if pattern
        )


def find_page(status: int, head: str, body: str, host: str) -> AnswerPage | None:
    """Return the page that an answer is, or None if it is none of those known here."""
    return next((page for page in PAGES if page.matches(status, head, body, host)), None)


def _make_gateway(source: str, *, head: str = "", body: str = "") -> AnswerPage:
    return AnswerPage(
        source,
        "it did not reach the server behind it",
        _START_BEHIND.format(source),
        GATEWAY_STATUSES,
        head,
        body,
        is_passing=True,
    )


def _make_host(source: str, *, head: str = "", body: str = "") -> AnswerPage:
    return AnswerPage(
        source,
        "it is the host's own error page, so your program did not answer: it is not deployed "
        "there, does not run, or does not listen on the port that the host expects",
        f"Look at the log of your program at {source}, and at the address that it has there",
        _ERRORS,
        head,
        body,
    )


def _make_filter(source: str, *, head: str = "", body: str = "") -> AnswerPage:
    return AnswerPage(
        source,
        "a filter or proxy of the network that this machine is in refused the request, which never "
        "reached the address; Twilio, which is not in this network, may reach it",
        "Allow the address in that filter, or try from another network",
        _ERRORS,
        head,
        body,
    )


PAGES = (
    # Tunnels.
    AnswerPage(
        "localtunnel",
        "no localtunnel client is connected for this name",
        "Start it (lt --port PORT), and use the address that it prints now",
        head=r"^x-localtunnel-status:",
        is_passing=True,
    ),
    AnswerPage(
        "localtunnel",
        "no localtunnel client is connected for this name",
        "Start it (lt --port PORT), and use the address that it prints now",
        body=r"tunnel unavailable",
        is_passing=True,
    ),
    AnswerPage(
        "localtunnel",
        "it is the reminder page, which it shows to browsers until a password is given",
        "Use another tunnel, kit.open_tunnel(server), or send the header bypass-tunnel-reminder "
        "where a program of yours makes the request; Twilio cannot be made to send it",
        frozenset({200, 401, 403, 408, 511}),
        body=r"bypass-tunnel-reminder|tunnel password|\bloca\.lt\b|localtunnel",
    ),
    AnswerPage(
        "ngrok",
        "no ngrok agent serves this name now",
        "Start the tunnel, and use the address that it prints now",
        body=r"tunnel \S{1,100}\.ngrok\S{0,20} not found",
        is_passing=True,
    ),
    AnswerPage(
        "localhost.run",
        "no ssh session forwards this name",
        "Open the tunnel again, and use the address that it prints now",
        body=r"no tunnel here",
        is_passing=True,
    ),
    AnswerPage(
        "Microsoft's dev tunnels",
        "the port seems to be private: a login is asked for, which Twilio does not have",
        "Make it public: devtunnel host --allow-anonymous, or in VS Code the port's visibility",
        _LOGINS,
        host=r"\.devtunnels\.ms$",
    ),
    AnswerPage(
        "GitHub Codespaces",
        "the port seems to be private: a login is asked for, which Twilio does not have",
        "Make it public: gh codespace ports visibility PORT:public",
        _LOGINS,
        host=r"\.(app|preview\.app)\.github\.dev$",
    ),
    AnswerPage(
        "Cloudflare",
        "it tests whether a browser asks, which Twilio cannot answer",
        "Except this path from the challenge (Bot Fight Mode, WAF, Under Attack mode)",
        frozenset(),
        head=r"^cf-mitigated: *challenge",
    ),
    AnswerPage(
        "Cloudflare",
        "it tests whether a browser asks, which Twilio cannot answer",
        "Except this path from the challenge (Bot Fight Mode, WAF, Under Attack mode)",
        body=r"<title>just a moment|/cdn-cgi/challenge-platform",
    ),
    AnswerPage(
        "Cloudflare",
        "a rule of the site refused the request",
        "Except this path from the rule: Twilio's requests must pass",
        body=r"attention required! \| cloudflare|sorry, you have been blocked",
    ),
    AnswerPage(
        "Cloudflare",
        "the tunnel runs, and its cloudflared cannot connect to your server",
        _START_BEHIND.format("cloudflared"),
        body=r"unable to reach the origin service",
        is_passing=True,
    ),
    # Hosts.
    AnswerPage(
        "Railway",
        "it has no program at this name, or the program does not listen on the port of $PORT",
        "Look at the program's log at Railway, and let it listen on 0.0.0.0 and $PORT",
        head=r"^x-railway-fallback:",
    ),
    AnswerPage(
        "Vercel",
        "nothing is deployed at this name or path; and its functions keep no WebSocket open",
        "Host the server elsewhere, or open a tunnel to it: kit.open_tunnel(server)",
        head=r"^x-vercel-error:",
    ),
    AnswerPage(
        "Google Cloud",
        "the service lets in only callers that Google has authenticated, which Twilio is not",
        "Allow unauthenticated calls: gcloud run services add-iam-policy-binding SERVICE "
        "--member=allUsers --role=roles/run.invoker",
        frozenset({401, 403}),
        head=r"^server: *google frontend",
        body=r"does not have permission to get URL|request was not authenticated",
    ),
    _make_host("Heroku", body=r"herokucdn\.com/error-pages|<title>no such app|no-such-app"),
    _make_host("Render", head=r"^x-render-routing: *(no-|suspend|dynamic-.*error)"),
    _make_host("Azure", body=r"web app is stopped|web app - unavailable|azurewebsites"),
    _make_host("Netlify", body=r"not found - request id: |netlify[^<]{0,40}page not found"),
    AnswerPage(
        "Amazon's API Gateway",
        "it knows no such route, or wants a key that Twilio does not send",
        "Compare the URL with that of the deployed WebSocket route, stage included",
        frozenset({403, 404}),
        head=r"^x-amzn-errortype:",
    ),
    AnswerPage(
        "Amazon CloudFront",
        "it refused the request or did not reach the server behind it",
        "Look at the distribution: its origin, its behaviours, its web firewall",
        body=r"generated by cloudfront|the request could not be satisfied",
    ),
    # Networks: what stands before this machine's own way out.
    _make_filter("a Squid proxy", head=r"^x-squid-error:|^server: *squid"),
    _make_filter("Zscaler", body=r"zscaler"),
    _make_filter("Fortinet's web filter", body=r"fortiguard|fortigate|web filter violation"),
    _make_filter("Cisco Umbrella", body=r"block\.opendns\.com|umbrella\.com|cisco umbrella"),
    _make_filter("Palo Alto's web filter", body=r"palo alto networks|web page blocked"),
    _make_filter(
        "a web gateway", body=r"mcafee web gateway|skyhigh|blue ?coat|symantec web|sophos"
    ),
    # Proxies in front of the server.
    AnswerPage(
        "kit.Inspector",
        "it did not reach the server that it inspects",
        "Start your server, and compare its port with that of the URL given to the inspector",
        frozenset({502}),
        body=r"the server behind this inspector cannot be reached",
    ),
    AnswerPage(
        "nginx",
        "the port speaks TLS, and was asked without it",
        "Write wss:// in place of ws://, or https:// in place of http://",
        frozenset({400, 497}),
        body=r"plain http request was sent to https port",
    ),
    AnswerPage(
        "the web server",
        "the port speaks TLS, and was asked without it",
        "Write wss:// in place of ws://, or https:// in place of http://",
        frozenset({400}),
        body=r"sent an http request to an https server|speaking plain http to an ssl-enabled",
    ),
    # A header Server alone proves nothing: many proxies put theirs on the server's own answers.
    _make_gateway("Amazon's load balancer", head=r"^server: *awselb"),
    _make_gateway("Envoy", body=r"\A(upstream connect error|no healthy upstream)"),
    _make_gateway("Caddy", head=r"^server: *caddy", body=_EMPTY),
    _make_gateway("Fly.io", head=r"^server: *fly/", body=_EMPTY),
    _make_gateway("nginx", body=r"<center>(nginx|openresty)"),
    _make_gateway("HAProxy", body=r"no server is available to handle this request"),
    _make_gateway("Traefik", body=r"\A\s*(no available server|bad gateway|gateway timeout)\s*\Z"),
    _make_gateway("Apache", body=r"the proxy server (received an invalid|could not)"),
    _make_gateway("Google Cloud", body=r"<h1>error: server error</h1>"),
    _make_gateway("Cloudflare", head=r"^server: *cloudflare|^cf-ray:", body=r"cloudflare"),
    AnswerPage(
        "nginx",
        "it is nginx's own page, so none of its locations leads this path to your server, or a "
        "rule of it refuses",
        "Compare the path with the location of nginx that has proxy_pass to your server",
        frozenset({403, 404, 405}),
        body=r"<center>(nginx|openresty)",
    ),
    AnswerPage(
        "Apache",
        "it is Apache's own page, so none of its rules leads this path to your server, or a rule "
        "of it refuses",
        "Compare the path with that of ProxyPass",
        frozenset({403, 404, 405}),
        body=r"<address>apache/",
    ),
    # Tunnels that are only named.
    AnswerPage(
        "a tunnel's own page",
        "the page names a tunnel service, which answers in the server's place",
        "See that the tunnel runs, and use the address that it prints now",
        body=r"<(title|h1)[^>]{0,80}>[^<]{0,80}\b(serveo|pinggy|zrok|localxpose|tunnelmole|loophole"
        r"|pagekite|playit\.gg|tunnelto|packetriot)\b",
        is_passing=True,
    ),
)
"""All pages that are recognised; the first that matches is taken."""

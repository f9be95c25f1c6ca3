// Package cookie knows what HTTP says about a session's cookie: its attributes, its lines in
// a response, what a cache may do with the response, which requests another site has caused,
// and where further cookies of the same name may be. It does not know the store, and of a
// session only its ID.
//
// # Words
//
//   - Form: the attributes of a cookie, such as Path, Domain and SameSite. The canonical form
//     is the one that a browser makes of it.
//   - Place: a domain and a path. A browser keeps one cookie of a name for each place.
//   - Cross-site request: one that a page of another site has caused.
//
// # Rules, and where they come from
//
//   - Without a Path a browser takes the folder of the request, and the visitor would have a
//     cookie for each folder (RFC 6265, section 5.1.4). So Canonical makes it "/".
//   - The case of a Domain and a dot at its beginning mean nothing (RFC 6265, section 5.2.3).
//   - A cookie's name is a token of RFC 9110.
//   - Browsers accept a cookie whose name begins with __Secure- or __Host- only if it is
//     Secure, and __Host- only without a Domain and with the Path "/" (RFC 6265bis, section
//     4.1.3). They compare these prefixes in any case.
//   - Browsers refuse SameSite=None and Partitioned without Secure.
//   - A browser ignores a Path of more than 1,024 bytes (RFC 6265bis, section 5.6).
//   - Of two Set-Cookie lines for the same place, the later one counts.
//   - A shared cache must not keep a response with private in its Cache-Control, and no cache
//     may use a Set-Cookie line again that no-cache="Set-Cookie" names (RFC 9111, sections
//     5.2.2.7 and 5.2.2.4).
//   - A browser sends no Lax cookie with a cross-site request, unless it is a link or the like
//     to a page (RFC 6265bis, section 5.8.3), and no Strict cookie even then.
//   - Browsers say in Sec-Fetch-Site, Sec-Fetch-Mode and Sec-Fetch-Dest where a request comes
//     from and what it is for (W3C Fetch Metadata).
//   - Before some cross-site requests, a browser asks for permission with a preflight request,
//     which has no cookies (the Fetch standard, "CORS-preflight request").
//
// # What happens at each failure
//
// Check returns an error for a name and form that browsers would refuse. All other functions
// accept every input: what is missing or malformed in a request or a form is taken for what
// is safe, or as not given.
//
// # What it may touch
//
// The header of a response that the caller passes to it, and in memory which sessions a
// Healing remembers. All functions are safe for concurrent use on different headers, and a
// Healing is too. Lines is for one goroutine.
package cookie

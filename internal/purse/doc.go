// Package purse is what a gateway knows of money: credit, spending limits and
// budgets. It decides whether a request that must pay may be sent, before a
// byte of it is.
//
// # What is promised
//
// A request reserves its worst-case cost in every fund that it is paid from, or
// in none, and its actual cost replaces the reservation when it is settled. What
// all gateways have spent and reserved of a fund never exceeds the fund: each
// spends only what it has drawn from the [Bank], and the bank grants only what
// nobody else holds. A request whose actual cost is above its worst case is the
// one exception, and the next draw makes up for it.
//
// No request is refused for want of money while more than a twentieth of the
// fund is neither spent nor reserved and everybody can be reached.
//
// # How
//
// Gateways draw slices ahead of need: what the next second takes, at most a
// sixty-fourth of what is left, so slices shrink as the fund does. What a
// gateway has not used for a second goes back. Where a slice would be less than
// one request, each request draws its own worst case, what it leaves goes back
// at once when others want it, and no gateway holds more than its part of the
// rest. A request for which there is nothing now waits, at most [MaxWait], as
// long as what others hold or what is under way may still pay for it.
//
// Money does not refill, so a slice has no life. It ends when the usage that it
// paid for is ingested, when it is given back, or when the gateway's next
// incarnation has shipped all that this one left: see [DrawRequest].
//
// Every figure between gateway and bank is a total since the incarnation
// began, never a difference. A request or an answer that is lost, repeated or
// late changes nothing that the next one does not tell.
//
// book.go and ask.go do no I/O and have no clock, so that the very code that
// runs is simulated against an oracle.
package purse

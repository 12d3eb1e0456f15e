// Package valkey is a limit authority in Valkey or Redis from version 7 on. The
// rules run there as Lua, by the server's clock, on declared keys; subjects are
// spread over sixteen hash tags, so that they also spread over a cluster.
//
// What it holds is volatile and may be lost at any time: a marker beside every
// group of subjects names the server's run, and a marker that is missing or of
// another run means that whatever was granted before is unknown. The server
// must not evict (maxmemory-policy noeviction), or a grant could go while the
// marker stays; any other is refused. Its clock may drift, but must be slewed
// and not set forward by more than half a second.
package valkey

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"gatehouse"
	"gatehouse/internal/limit"
)

var (
	//go:embed prelude.lua
	prelude string
	//go:embed lease.lua
	lease string
	//go:embed take.lua
	take string
	//go:embed exchange.lua
	exchange string
	//go:embed first.lua
	first string
)

// groups is how many hash tags subjects are spread over: enough to use every
// node of a usual cluster, few enough that a gateway's batch stays in pieces
// worth sending.
const groups = 16

// patience is how long connecting may take, each step of it.
const patience = 2 * time.Second

// Authority is a [limit.Authority]. Close it.
type Authority struct {
	options               rueidis.ClientOption
	client                atomic.Pointer[rueidis.Client]
	closed                atomic.Bool
	ctx                   context.Context // ends with Close
	end                   context.CancelFunc
	prefix                string
	lease, take, exchange *rueidis.Lua
	first                 *rueidis.Lua

	mu      sync.Mutex
	dialing *attempt       // under way; nil for none
	since   [groups]string // when each group's memory began, as last seen
	epoch   uint64         // changes whenever one of them does
}

// Open makes an authority of the server at a redis:// or rediss:// URL. It does
// not wait for a connection: a gateway starts while its authority is away. Prefix
// begins every key.
func Open(url, prefix string) (*Authority, error) {
	o, err := rueidis.ParseURL(url)
	if err != nil {
		// The cause may hold the URL, and that a password.
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "the limit authority's URL cannot be read; it is like redis://user:password@host:6379/0")
	}
	o.DisableCache = true
	o.ConnWriteTimeout, o.Dialer.Timeout = patience, patience
	// A call that failed half-way may have been counted: sending it again would
	// count it twice.
	o.DisableRetry = true
	a := &Authority{options: o, prefix: prefix, epoch: 1,
		lease: rueidis.NewLuaScript(prelude + lease), take: rueidis.NewLuaScript(prelude + take), exchange: rueidis.NewLuaScript(prelude + exchange),
		first: rueidis.NewLuaScript(prelude + first)}
	a.ctx, a.end = context.WithCancel(context.Background())
	go a.attend()
	return a, nil
}

// attendEvery is how soon a memory begins again after the server forgot.
const attendEvery = 5 * time.Second

// attend has every group's memory begin as soon as there is a server. Begun by
// their first subjects instead, sixteen groups would be new one after the other,
// and each refuses for a minute (docs/limits.md).
func (a *Authority) attend() {
	tick := time.NewTicker(attendEvery)
	defer tick.Stop()
	for {
		a.begin()
		select {
		case <-a.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (a *Authority) begin() {
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	_, _ = a.begins(ctx) // requests say what is wrong
}

// begins returns when each group's memory began, by the server's clock; it does
// now where there was none.
func (a *Authority) begins(ctx context.Context) (since [groups]string, err error) {
	client, err := a.connected(ctx)
	if err != nil {
		return since, err
	}
	calls := make([]rueidis.LuaExec, groups)
	for g := range calls {
		calls[g] = rueidis.LuaExec{Keys: []string{a.marker(g)}, Args: []string{"", "0"}} // an exchange of nothing
	}
	for g, result := range a.exchange.ExecMulti(ctx, client, calls...) {
		text, failed := result.AsStrSlice()
		if failed != nil || len(text) != 2 {
			err = unavailable(failed)
			continue
		}
		since[g] = text[0]
		a.began(g, text[0])
	}
	return since, err
}

// ErrUsed is in the chain of what First returns for a server that is somebody's.
var ErrUsed = errors.New("the limit authority holds more than its marks: it is to be empty at first")

// First has an empty server grant at once instead of waiting for what it might
// have granted before it forgot. Never says whether nothing can have been granted
// by anybody; a group that forgets after it was asked waits. Two installations
// need two databases: the wait of one is not known to the other.
func (a *Authority) First(ctx context.Context, never func() (bool, error)) error {
	since, err := a.begins(ctx)
	if err != nil {
		return err
	}
	client, err := a.connected(ctx)
	if err != nil {
		return err
	}
	size, err := client.Do(ctx, client.B().Dbsize().Build()).AsInt64()
	if err != nil {
		return unavailable(err)
	}
	if ok, err := never(); err != nil || !ok {
		return err
	}
	if size > groups {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "the limit authority is not empty").Because(ErrUsed)
	}
	calls := make([]rueidis.LuaExec, groups)
	for g := range calls {
		calls[g] = rueidis.LuaExec{Keys: []string{a.marker(g)}, Args: []string{since[g]}}
	}
	for _, result := range a.first.ExecMulti(ctx, client, calls...) {
		if done, err := result.AsInt64(); err != nil || done != 1 {
			return unavailable(err)
		}
	}
	return nil
}

// Close ends the connections, also one that is being made.
func (a *Authority) Close() {
	a.closed.Store(true)
	a.end()
	if c := a.client.Swap(nil); c != nil {
		(*c).Close()
	}
}

// connected returns the connection and makes it at the first use. All callers
// wait for one attempt, and none longer than its ctx: a request does, and a
// server that is silent costs seconds.
func (a *Authority) connected(ctx context.Context) (rueidis.Client, error) {
	if c := a.client.Load(); c != nil {
		return *c, nil
	}
	d := a.dial()
	select {
	case <-d.done:
		if c := a.client.Load(); c != nil && d.err == nil {
			return *c, nil
		}
		return nil, cmp.Or(d.err, unavailable(errors.New("closed")))
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
}

// attempt is one at connecting; err is there when done is closed.
type attempt struct {
	done chan struct{}
	err  error
}

// dial returns the attempt that is under way, or begins one.
func (a *Authority) dial() *attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.dialing == nil {
		d := &attempt{done: make(chan struct{})}
		a.dialing = d
		go func() {
			d.err = a.connect()
			a.mu.Lock()
			a.dialing = nil
			a.mu.Unlock()
			close(d.done)
		}()
	}
	return a.dialing
}

// connect is called by one at a time. Closed is read after the connection is
// there to be closed, so one of the two that meet here closes it.
func (a *Authority) connect() error {
	if a.client.Load() != nil {
		return nil // since the caller looked
	}
	client, err := rueidis.NewClient(a.options)
	if err != nil {
		return unavailable(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := check(ctx, client); err != nil {
		client.Close()
		return err
	}
	if a.client.Store(&client); a.closed.Load() {
		a.Close()
		return unavailable(errors.New("closed"))
	}
	return nil
}

// check refuses servers on which the promises cannot be kept.
func check(ctx context.Context, client rueidis.Client) error {
	info, err := client.Do(ctx, client.B().Info().Build()).ToString()
	if err != nil {
		return unavailable(err)
	}
	major, _ := strconv.Atoi(strings.Split(field(info, "redis_version"), ".")[0])
	if policy := field(info, "maxmemory_policy"); policy != "" && policy != "noeviction" {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "the limit authority evicts keys (maxmemory-policy %s); set noeviction, or limits would be passed", policy)
	}
	if major < 7 {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "the limit authority is version %d; 7 or later is needed", major)
	}
	return nil
}

func field(info, name string) string {
	_, rest, _ := strings.Cut(info, "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\r")
	return value
}

func group(id gatehouse.ID) int { return int(id[15]) % groups }

func (a *Authority) key(g int, kind string, id gatehouse.ID) string {
	return fmt.Sprintf("%s{%d}%s%x", a.prefix, g, kind, id[:])
}

func (a *Authority) marker(g int) string { return fmt.Sprintf("%s{%d}boot", a.prefix, g) }

// spread sorts the places of subjects by group: a script touches one slot.
func spread(n int, id func(int) gatehouse.ID) map[int][]int {
	by := map[int][]int{}
	for i := range n {
		g := group(id(i))
		by[g] = append(by[g], i)
	}
	return by
}

// Lease implements [limit.Authority].
func (a *Authority) Lease(ctx context.Context, r limit.LeaseRequest) (limit.LeaseReply, error) {
	if err := r.Check(); err != nil {
		return limit.LeaseReply{}, err
	}
	client, err := a.connected(ctx)
	if err != nil {
		return limit.LeaseReply{}, err
	}
	by := spread(len(r.Demands), func(i int) gatehouse.ID { return r.Demands[i].Subject.ID })
	order := slices.Sorted(maps.Keys(by))
	calls := make([]rueidis.LuaExec, len(order))
	for c, g := range order {
		call := rueidis.LuaExec{Keys: []string{a.marker(g)}, Args: []string{string(r.Holder[:]), strconv.FormatUint(r.Seq, 10)}}
		for _, i := range by[g] {
			d := &r.Demands[i]
			call.Keys = append(call.Keys, a.key(g, "r", d.Subject.ID))
			call.Args = append(call.Args, subject(d.Subject)...)
			call.Args = append(call.Args, numbers(d.Held.QPS, d.Held.QPM, d.Used.QPS, d.Used.QPM, d.Want.QPS, d.Want.QPM)...)
			call.Args = append(call.Args, strconv.FormatInt(d.Weight, 10))
		}
		calls[c] = call
	}
	reply := limit.LeaseReply{Seq: r.Seq, Shares: make([]limit.Share, len(r.Demands))}
	for c, result := range a.lease.ExecMulti(ctx, client, calls...) {
		n, err := result.AsIntSlice()
		if err != nil || len(n) != 4*len(by[order[c]]) {
			return limit.LeaseReply{}, unavailable(err)
		}
		for j, i := range by[order[c]] {
			v := n[4*j:]
			reply.Shares[i] = limit.Share{Rates: limit.Rates{QPS: int32(v[0]), QPM: int32(v[1])}, Free: limit.Rates{QPS: int32(v[2]), QPM: int32(v[3])}}
		}
	}
	return reply, nil
}

// Take implements [limit.Authority]. Subjects lie in several slots: when a later
// one refuses, what the earlier ones gave is not used, and not given back.
func (a *Authority) Take(ctx context.Context, r limit.TakeRequest) (limit.TakeReply, error) {
	if err := r.Check(); err != nil {
		return limit.TakeReply{}, err
	}
	client, err := a.connected(ctx)
	if err != nil {
		return limit.TakeReply{}, err
	}
	for i, s := range r.Subjects {
		g := group(s.ID)
		args := append([]string{strconv.FormatInt(r.Guard.Microseconds(), 10), strconv.Itoa(int(r.Cost))}, subject(s)...)
		n, err := a.take.Exec(ctx, client, []string{a.marker(g), a.key(g, "r", s.ID)}, args).AsIntSlice()
		if err != nil || len(n) != 2 || n[0] < 0 || n[0] > 2 {
			return limit.TakeReply{}, unavailable(err)
		}
		if n[0] > 0 {
			return limit.TakeReply{Index: i, Limit: []string{"qps", "qpm"}[n[0]-1], Full: n[1] == 1, RetryAfter: time.Second}, nil
		}
	}
	return limit.TakeReply{OK: true}, nil
}

// Exchange implements [limit.Authority].
func (a *Authority) Exchange(ctx context.Context, r limit.ExchangeRequest) (limit.ExchangeReply, error) {
	if err := r.Check(); err != nil {
		return limit.ExchangeReply{}, err
	}
	client, err := a.connected(ctx)
	if err != nil {
		return limit.ExchangeReply{}, err
	}
	by := spread(len(r.Counts), func(i int) gatehouse.ID { return r.Counts[i].Subject })
	order := slices.Sorted(maps.Keys(by))
	calls := make([]rueidis.LuaExec, len(order))
	for c, g := range order {
		call := rueidis.LuaExec{Keys: []string{a.marker(g)}, Args: []string{string(r.Holder[:]), strconv.FormatUint(r.Seq, 10)}}
		for _, i := range by[g] {
			call.Keys = append(call.Keys, a.key(g, "t", r.Counts[i].Subject))
			call.Args = append(call.Args, strconv.FormatInt(r.Counts[i].Tokens, 10))
		}
		calls[c] = call
	}
	reply := limit.ExchangeReply{Seq: r.Seq, Others: make([]int64, len(r.Counts)), Age: math.MaxInt64}
	for c, result := range a.exchange.ExecMulti(ctx, client, calls...) {
		text, err := result.AsStrSlice()
		if err != nil || len(text) != 2+len(by[order[c]]) {
			return limit.ExchangeReply{}, unavailable(err)
		}
		reply.Age = min(reply.Age, time.Duration(number(text[1]))*time.Microsecond)
		a.began(order[c], text[0])
		for j, i := range by[order[c]] {
			reply.Others[i] = number(text[2+j])
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	reply.Epoch = a.epoch
	return reply, nil
}

// began notes when a group's memory began. A group that forgot makes a new
// epoch of all: whoever remembers more then goes by what it remembers.
func (a *Authority) began(g int, since string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.since[g] != "" && a.since[g] != since {
		a.epoch++
	}
	a.since[g] = since
}

func subject(s limit.Subject) []string {
	return append(numbers(s.Limits.QPS, s.Limits.QPM), strconv.FormatInt(s.Revision.Epoch, 10), strconv.FormatInt(s.Revision.N, 10))
}

func numbers(n ...int32) []string {
	text := make([]string, len(n))
	for i, x := range n {
		text[i] = strconv.Itoa(int(x))
	}
	return text
}

// number reads what a script wrote; sums beyond int64, and what is no sum, count
// as the largest.
func number(s string) int64 {
	if f, err := strconv.ParseFloat(s, 64); err == nil && f >= 0 && f < math.MaxInt64 {
		return int64(f)
	}
	return math.MaxInt64
}

func unavailable(err error) error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the limit authority does not answer").Because(err)
}

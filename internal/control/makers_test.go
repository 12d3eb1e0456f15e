package control_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/control"
)

// opened is who may do what, written apart from the code's table, from the
// sentences that define the roles: an owner all of the team; an admin all but
// changes to money; billing money, usage and budgets; a developer API keys; an
// auditor reads all; a viewer reads keys, models and usage. Letters are their
// first, r is auditor.
const opened = `
oabdrv ListApiKeys GetApiKey CheckApiKeyPropagation ListPossibleModelAcls ListPossibleEndpointAcls ListOrphanedApiKeys AnalyzeBillingItems ListTeams GetTeam
oad    CreateApiKey UpdateApiKey RotateApiKey DeleteApiKey
oar    ListManagementKeys GetManagementKey ListAuditEvents
oa     CreateManagementKey RotateManagementKey RevokeManagementKey CreateUser UpdateUser UpdateMember RemoveMember CreateInvitation RevokeInvitation
oabdr  ListUsers GetUser ListMembers ListInvitations ListBudgets GetBudget ListBudgetStates ListAlertHooks ListAlerts
oabr   GetBillingInfo ListInvoices GetInvoice ListPaymentMethods GetAmountToPay GetSpendingLimits ListPrepaidBalanceChanges GetBillingSummary
ob     SetBillingInfo SetDefaultPaymentMethod SetSoftSpendingLimit TopUpOrGetExistingPendingChange
oab    CreateBudget UpdateBudget DeleteBudget CreateAlertHook DeleteAlertHook
oadr   ListCollections GetCollectionMetadata ListDocuments GetDocumentMetadata BatchGetDocuments
oad    CreateCollection UpdateCollection DeleteCollection GenerateCollectionDescription UploadDocument AddDocumentToCollection
oad    UpdateDocument ReIndexDocument RemoveDocumentFromCollection
`

// letters name the roles in opened.
var letters = map[gatehouse.Role]string{"owner": "o", "admin": "a", "billing": "b", "developer": "d", "auditor": "r", "viewer": "v"}

// byRole is opened, the other way round.
var byRole = func() map[gatehouse.Role]map[gatehouse.Operation]bool {
	out := map[gatehouse.Role]map[gatehouse.Operation]bool{}
	for role, letter := range letters {
		out[role] = map[gatehouse.Operation]bool{}
		for line := range strings.Lines(opened) {
			words := strings.Fields(line)
			for _, op := range words[min(1, len(words)):] {
				if strings.Contains(words[0], letter) {
					out[role][gatehouse.Operation(op)] = true
				}
			}
		}
	}
	return out
}()

// maker is somebody with a key, as the oracle knows them.
type maker struct {
	*control.Caller
	all   bool // of the organization, with no bound
	ops   map[gatehouse.Operation]bool
	user  gatehouse.ID
	grant *gatehouse.Grant
	role  gatehouse.Role // of a personal key; then it says what may be done
}

func (m *maker) may(op gatehouse.Operation) bool {
	switch {
	case m.all || slices.Contains(gatehouse.Unscoped, op): // an entry for these opens nothing
		return true
	case m.role != "":
		return byRole[m.role][op]
	}
	return m.ops[op]
}

// holds reports whether all that a role opens is open to the maker.
func (m *maker) holds(role gatehouse.Role) bool {
	for op := range byRole[role] {
		if !m.may(op) {
			return false
		}
	}
	return true
}

// makers is the state of one run: a house, and who is in it.
type makers struct {
	*testing.T
	*rand.Rand
	h      *house
	root   *maker
	pool   []*maker
	people map[gatehouse.ID]gatehouse.Role
	counts map[string]int
	n      int
}

// No key, management key, role or budget exceeds its maker's, whoever made the
// maker. GATEHOUSE_MAKERS says how many makers are tried.
func TestNothingExceedsItsMaker(t *testing.T) {
	total := 2000
	if s := os.Getenv("GATEHOUSE_MAKERS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		total = n
	}
	counts := map[string]int{}
	seed := uint64(time.Now().UnixNano())
	for done := 0; done < total; done += 500 {
		t.Logf("seed %d", seed+uint64(done))
		w := &makers{T: t, Rand: rand.New(rand.NewPCG(seed+uint64(done), 0)), h: open(t), people: map[gatehouse.ID]gatehouse.Role{}, counts: counts}
		w.root = &maker{Caller: w.h.root(), all: true, user: w.h.first.UserID}
		w.people[w.h.first.UserID] = gatehouse.RoleOwner
		for range min(500, total-done) {
			w.round()
		}
	}
	for _, kind := range []string{"key", "update", "manager", "rotation", "invitation", "role", "removal", "budget"} {
		if counts[kind+" allowed"] == 0 || counts[kind+" refused"] == 0 {
			t.Errorf("%s: one side was never seen: %v", kind, counts)
		}
	}
	t.Logf("%d makers, %v", total, counts)
}

// round makes one maker, and lets somebody try something.
func (w *makers) round() {
	w.n++
	by := w.root
	if len(w.pool) > 0 && w.IntN(3) > 0 {
		by = w.pool[w.IntN(len(w.pool))]
	}
	if w.IntN(2) == 0 {
		w.manager(by)
	} else {
		w.invitation(by)
	}
	if len(w.pool) == 0 {
		return
	}
	m := w.pool[w.IntN(len(w.pool))]
	for range 2 {
		if !slices.Contains(w.pool, m) {
			return // removed, by themselves perhaps
		}
		[]func(*maker){w.key, w.update, w.rotation, w.manager, w.invitation, w.change, w.removal, w.budget}[w.IntN(8)](m)
	}
	if slices.Contains(w.pool, m) && m.role != "" && w.IntN(8) == 0 && m.user != w.h.first.UserID {
		to := gatehouse.Roles[w.IntN(6)]
		if _, err := w.root.UpdateMember(w.Context(), gatehouse.ID{}, m.user, to); err == nil {
			w.setRole(m.user, to)
		}
	}
	if len(w.pool) > 40 {
		w.pool = w.pool[1:]
	}
}

// setRole notes what somebody is now, for every key of theirs.
func (w *makers) setRole(user gatehouse.ID, to gatehouse.Role) {
	w.people[user] = to
	for _, m := range w.pool {
		if m.user == user && m.role != "" {
			m.role = to
		}
	}
}

// saw counts, and refuses refusals that are none.
func (w *makers) saw(kind string, err error) bool {
	switch gatehouse.CodeOf(err) {
	case "":
		w.counts[kind+" allowed"]++
		return true
	case gatehouse.PermissionDenied:
	case gatehouse.FailedPrecondition: // the last owner
	default:
		w.Fatalf("%s: %v", kind, err)
	}
	w.counts[kind+" refused"]++
	return false
}

func (w *makers) exactly(kind string, allowed bool, err error) {
	if (err == nil) != allowed {
		w.Fatalf("%s: the oracle says %v, the answer is %v", kind, allowed, err)
	}
}

func pick[T any](w *makers, from ...T) T { return from[w.IntN(len(from))] }

func (w *makers) acl() gatehouse.ACL {
	out := gatehouse.ACL{}
	for _, s := range someACLs {
		if w.IntN(3) == 0 {
			out = append(out, s)
		}
	}
	return out
}

func (w *makers) grant() *gatehouse.Grant {
	if w.IntN(2) == 0 {
		return nil
	}
	g := &gatehouse.Grant{}
	if w.IntN(2) == 0 {
		acl := w.acl()
		g.ACL = &acl
	}
	if w.IntN(2) == 0 {
		n := w.Int32N(3) + 1
		g.MaxQPS = &n
	}
	if w.IntN(2) == 0 {
		n := gatehouse.Ticks(w.IntN(4)+1) * gatehouse.USD
		g.MaxBudget = &n
	}
	return g
}

// within holds one ceiling against another, point by point.
func (w *makers) within(m *maker, child *gatehouse.Grant, what string) {
	if excess := grantExceeds(m.grant, child); excess != "" {
		w.Fatalf("%s of the ceiling of %s: %+v under %+v", excess, what, child, m.grant)
	}
	if m.grant != nil && m.grant.MaxBudget != nil && (child == nil || child.MaxBudget == nil || *child.MaxBudget > *m.grant.MaxBudget) {
		w.Fatalf("budget of the ceiling of %s: %+v under %+v", what, child, m.grant)
	}
}

func (w *makers) key(m *maker) {
	k, err := m.CreateKey(w.Context(), gatehouse.NewKey{Name: "k", ACL: w.acl(), Limits: gatehouse.Limits{QPS: w.Int32N(5)}})
	if w.saw("key", err) {
		w.fits(m, gatehouse.CreateApiKey, k.Key)
	}
}

func (w *makers) update(m *maker) {
	wide, err := w.root.CreateKey(w.Context(), gatehouse.NewKey{Name: "wide", ACL: all})
	if err != nil {
		w.Fatal(err)
	}
	k, err := m.UpdateKey(w.Context(), gatehouse.KeyUpdate{ID: wide.Key.ID, ACL: gatehouse.Some(w.acl()), QPS: gatehouse.Some(w.Int32N(5))})
	if w.saw("update", err) {
		w.fits(m, gatehouse.UpdateApiKey, k.Key)
	}
}

func (w *makers) fits(m *maker, op gatehouse.Operation, k *gatehouse.Key) {
	if excess := exceeds(m.grant, k.ACL, k.Limits.QPS, k.Limits.TPM, k.ExpireTime); excess != "" || !m.may(op) {
		w.Fatalf("%q of key %+v is beyond %+v, %s %v", excess, k, m.grant, op, m.may(op))
	}
}

// someOps are the operations that makers are made of; the last is of no role.
var someOps = []gatehouse.Operation{
	gatehouse.CreateApiKey, gatehouse.UpdateApiKey, gatehouse.CreateManagementKey, gatehouse.RotateManagementKey, gatehouse.CreateInvitation,
	gatehouse.UpdateMember, gatehouse.RemoveMember, gatehouse.CreateBudget, gatehouse.ListApiKeys, gatehouse.CreateUser, gatehouse.CreateTeam,
}

func (w *makers) manager(m *maker) {
	n := gatehouse.NewManagementKey{Name: "m", Grant: w.grant(), Scope: pick(w, gatehouse.ScopeTeam, gatehouse.ScopeTeam, gatehouse.ScopeOrganization)}
	if w.IntN(3) == 0 {
		n.Grant = m.grant
	}
	if w.IntN(3) == 0 {
		n.ACL = []string{gatehouse.ScopeFor("*")}
	}
	for _, op := range someOps {
		if w.IntN(4) == 0 {
			n.ACL = append(n.ACL, gatehouse.ScopeFor(op))
		}
	}
	k, err := m.CreateManagementKey(w.Context(), n)
	if w.saw("manager", err) {
		w.admit(m, gatehouse.CreateManagementKey, k)
	}
}

func (w *makers) rotation(m *maker) {
	strong := w.h.manager(w.T, gatehouse.NewManagementKey{Name: "s", Grant: m.grant, ACL: []string{gatehouse.ScopeFor(pick(w, append(someOps, "*")...))}})
	k, err := m.RotateManagementKey(w.Context(), gatehouse.KeyRotation{ID: strong.Key.ID})
	if w.saw("rotation", err) {
		w.admit(m, gatehouse.RotateManagementKey, k)
	}
}

// admit judges a management key that was made, and takes it in as a maker.
func (w *makers) admit(m *maker, op gatehouse.Operation, k gatehouse.MintedManagementKey) {
	child := &maker{Caller: w.h.As(&gatehouse.Call{Token: k.Token}), ops: map[gatehouse.Operation]bool{}, user: k.Key.UserID, grant: k.Key.Grant}
	every := slices.Contains(k.Key.ACL, "team-token:endpoint:*")
	for _, o := range gatehouse.Operations {
		child.ops[o.Name] = (every || slices.Contains(k.Key.ACL, "team-token:endpoint:"+string(o.Name))) && (!o.Organization || k.Key.Scope == gatehouse.ScopeOrganization)
		if child.ops[o.Name] && !m.may(o.Name) {
			w.Fatalf("a child may call %s, and its maker (%s) may not", o.Name, m.role)
		}
	}
	if !m.may(op) || k.Key.Personal || k.Key.Scope == gatehouse.ScopeOrganization && !m.all && m.role != "" {
		w.Fatalf("%s gave %+v", op, k.Key)
	}
	w.within(m, k.Key.Grant, "a management key")
	if k.Key.Scope == gatehouse.ScopeOrganization {
		return // as a maker it reaches teams that this world does not have
	}
	w.pool = append(w.pool, child)
}

func (w *makers) invitation(m *maker) {
	role := gatehouse.Roles[w.IntN(6)]
	email := fmt.Sprintf("p%d-%d@example.com", w.n, w.Uint64())
	i, err := m.Invite(w.Context(), gatehouse.ID{}, email, role)
	w.exactly("invitation as "+string(role)+" by "+string(m.role), m.may(gatehouse.CreateInvitation) && m.holds(role), err)
	if !w.saw("invitation", err) {
		return
	}
	p := w.h.accept(w.T, i, gatehouse.Acceptance{Email: email})
	w.within(m, p.key.Grant, "an invited person")
	if !p.key.Personal || p.key.Scope != gatehouse.ScopeTeam {
		w.Fatalf("the key of an invited person: %+v", p.key)
	}
	w.people[p.user] = role
	w.pool = append(w.pool, &maker{Caller: p.Caller, user: p.user, grant: p.key.Grant, role: role})
}

// somebody of the pool who is a member still.
func (w *makers) somebody() (gatehouse.ID, gatehouse.Role) {
	var ids []gatehouse.ID
	for _, m := range w.pool {
		if w.people[m.user] != "" {
			ids = append(ids, m.user)
		}
	}
	id := pick(w, append(ids, w.h.first.UserID)...)
	return id, w.people[id]
}

func (w *makers) change(m *maker) {
	id, was := w.somebody()
	to := gatehouse.Roles[w.IntN(6)]
	_, err := m.UpdateMember(w.Context(), gatehouse.ID{}, id, to)
	if !w.saw("role", err) {
		return
	}
	if !m.may(gatehouse.UpdateMember) || !m.holds(was) || !m.holds(to) {
		w.Fatalf("%s was made %s by a maker (%s) who may less", was, to, m.role)
	}
	w.setRole(id, to)
	w.oneOwner()
}

func (w *makers) removal(m *maker) {
	id, was := w.somebody()
	err := m.RemoveMember(w.Context(), gatehouse.ID{}, id, gatehouse.ID{})
	if !w.saw("removal", err) {
		return
	}
	if !m.may(gatehouse.RemoveMember) || !m.holds(was) {
		w.Fatalf("a maker (%s) removed an %s", m.role, was)
	}
	delete(w.people, id)
	w.oneOwner()
	if id == w.h.first.UserID {
		w.rebuild()
		return
	}
	w.pool = slices.DeleteFunc(w.pool, func(o *maker) bool { return o.user == id })
}

// oneOwner is the rule that somebody can always mend the rest.
func (w *makers) oneOwner() {
	for _, r := range w.people {
		if r == gatehouse.RoleOwner {
			return
		}
	}
	w.Fatal("the team has no owner left")
}

// rebuild goes on in another house: the first key went with its owner.
func (w *makers) rebuild() {
	w.h, w.pool, w.people = open(w.T), nil, map[gatehouse.ID]gatehouse.Role{}
	w.root = &maker{Caller: w.h.root(), all: true, user: w.h.first.UserID}
	w.people[w.h.first.UserID] = gatehouse.RoleOwner
}

func (w *makers) budget(m *maker) {
	amount := gatehouse.Ticks(w.IntN(6)+1) * gatehouse.USD
	b, err := m.PutBudget(w.Context(), gatehouse.ID{}, gatehouse.Budget{
		Name: fmt.Sprintf("b%d-%d", w.n, w.Uint64()), Subject: gatehouse.BudgetTeam, Amount: amount, Period: gatehouse.BudgetDay, Zone: "UTC",
	})
	fits := m.grant == nil || m.grant.MaxBudget == nil || amount <= *m.grant.MaxBudget
	w.exactly("budget of "+amount.String(), m.may(gatehouse.CreateBudget) && fits, err)
	if w.saw("budget", err) && b.Amount > amount {
		w.Fatalf("a budget of %s", b.Amount)
	}
}

// The addresses that a maker may come from are a ceiling too.
func TestAnInvitedPersonComesFromWhereTheInviterMay(t *testing.T) {
	h := open(t)
	near := h.manager(t, gatehouse.NewManagementKey{Name: "near", ACL: []string{gatehouse.ScopeFor("*")}, IPRanges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	m, err := h.As(&gatehouse.Call{Token: near.Token, IP: netip.MustParseAddr("10.0.0.1")}).Invite(t.Context(), gatehouse.ID{}, "ada@example.com", gatehouse.RoleViewer)
	if err != nil {
		t.Fatal(err)
	}
	p := h.accept(t, m, gatehouse.Acceptance{Email: "ada@example.com"})
	wantCode(t, gatehouse.PermissionDenied, p.as(gatehouse.Call{IP: netip.MustParseAddr("192.0.2.1")}).Authenticate(t.Context()))
}

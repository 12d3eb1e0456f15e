package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// notifier carries an alert to one hook.
type notifier interface {
	Notify(context.Context, *gatehouse.AlertHook, *gatehouse.Alert) error
}

// How alerts are sent: maxTries times, each wait twice as long as the one
// before, over most of a day.
const (
	maxTries   = 12
	firstRetry = 30 * time.Second
)

// CheckAlerts finds what is worth an alert in every team, once each, and then
// sends what waits. It is a job of one node: what it decided is remembered with
// the alert, so that a node that dies after deciding leaves the sending to the next.
func (s *Service) CheckAlerts(ctx context.Context) error {
	ctx = store.System(ctx)
	var teams []*gatehouse.Team
	err := s.Store.View(ctx, func(v store.View) (err error) {
		teams, err = allTeams(v)
		return err
	})
	for _, t := range teams {
		if alertErr := s.alertTeam(ctx, t); alertErr != nil {
			err = errors.Join(err, fmt.Errorf("team %s: %w", t.ID, alertErr))
		}
	}
	return errors.Join(err, s.sendAlerts(ctx))
}

func allTeams(v store.View) (all []*gatehouse.Team, err error) {
	const most = 1000
	var after store.Cursor
	for {
		page, err := v.Teams(after, most)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < most {
			return all, nil
		}
		last := page[len(page)-1]
		after = store.Cursor{Time: last.CreateTime, ID: last.ID.String()}
	}
}

// alertTeam decides what to say about a team's money.
func (s *Service) alertTeam(ctx context.Context, t *gatehouse.Team) error {
	now := s.Now()
	var found []gatehouse.Alert
	var hooks []gatehouse.ID
	err := s.Store.View(ctx, func(v store.View) error {
		states, err := budgetStates(v, t, now)
		if err != nil {
			return err
		}
		found = budgetAlerts(states)
		for _, look := range []func(store.View, *gatehouse.Team, time.Time) ([]gatehouse.Alert, error){creditAlerts, anomalies} {
			more, err := look(v, t, now)
			if err != nil {
				return err
			}
			found = append(found, more...)
		}
		if len(found) == 0 {
			return nil
		}
		all, err := v.AlertHooks(t.ID)
		for _, h := range all {
			hooks = append(hooks, h.ID)
		}
		return err
	})
	for some := range slices.Chunk(found, raiseAtOnce) {
		if err != nil {
			return err
		}
		for i := range some {
			some[i].ID, some[i].TeamID, some[i].Time, some[i].Pending = gatehouse.NewTimeID(now), t.ID, utc(now), hooks
		}
		err = s.raise(ctx, some)
	}
	return err
}

// raiseAtOnce bounds a transaction: a budget for each of many keys may have
// something to say about all of them, every time.
const raiseAtOnce = 100

// raise keeps alerts of which the same was not raised before.
func (s *Service) raise(ctx context.Context, some []gatehouse.Alert) error {
	return s.Store.Work(ctx, func(w store.Work) error {
		for _, a := range some {
			first, err := w.Alerted(a.Fund, a.Share)
			if err == nil && first {
				err = w.PutAlert(a)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// budgetAlerts are the highest thresholds that budgets have reached: who leaps
// from 10 to 90 % is told of 80 and not of 50 as well.
func budgetAlerts(states []gatehouse.BudgetState) (out []gatehouse.Alert) {
	for _, st := range states {
		b := &st.Budget
		share := 0
		for _, p := range b.Alerts() {
			if st.Spent >= b.Amount/100*gatehouse.Ticks(p) {
				share = p
			}
		}
		if share == 0 {
			continue
		}
		name := "Budget '" + b.Name + "'"
		if st.Of != "" && b.Each() {
			name += " of " + short(st.Of)
		}
		out = append(out, gatehouse.Alert{
			Kind: "budget", Share: share, Fund: b.Fund(gatehouse.ID{}, st.Of, st.Start).String(),
			Title: fmt.Sprintf("%s has reached %d %%", name, share),
			Text:  fmt.Sprintf("%s of %s spent this %s.", dollars(st.Spent), dollars(b.Amount), periodName(b.Period)),
		})
	}
	return out
}

func periodName(p gatehouse.BudgetPeriod) string {
	if p == gatehouse.BudgetTotal {
		return "lifetime"
	}
	return string(p)
}

// dollars is money for people: to the cent, cut and not rounded, so that a
// budget that is not used up never looks it.
func dollars(t gatehouse.Ticks) string {
	return fmt.Sprintf("$%d.%02d", t/gatehouse.USD, t%gatehouse.USD/gatehouse.Cent)
}

// creditAlerts tell of a credit that is used up, and of a month's spending limit
// like of a budget.
func creditAlerts(v store.View, t *gatehouse.Team, now time.Time) ([]gatehouse.Alert, error) {
	if t.Billing != gatehouse.BillingPrepaid && t.Billing != gatehouse.BillingPostpaid {
		return nil, nil
	}
	cycle := gatehouse.CycleOf(now)
	owed, err := v.CycleBalance(t.ID, gatehouse.AccountReceivable, cycle)
	if err != nil {
		return nil, err
	}
	fund := fmt.Sprintf("limit/%s/%s", t.ID, cycle)
	if t.Billing == gatehouse.BillingPrepaid {
		return usedUp(v, t, fund)
	}
	account, err := found(v.BillingAccount(t.ID))
	if err != nil {
		return nil, err
	}
	limit := account.EffectiveLimit()
	for _, share := range slices.Backward(gatehouse.DefaultAlertAt) {
		if limit > 0 && owed >= limit/100*gatehouse.Ticks(share) {
			return []gatehouse.Alert{{
				Kind: "credit", Share: share, Fund: fund,
				Title: fmt.Sprintf("The month's spending limit has reached %d %%", share),
				Text:  fmt.Sprintf("%s of %s owed in %s.", dollars(owed), dollars(limit), cycle),
			}}, nil
		}
	}
	return nil, nil
}

// usedUp tells once a month of a prepaid credit that was there and is not.
func usedUp(v store.View, t *gatehouse.Team, fund string) ([]gatehouse.Alert, error) {
	spend, err := v.CycleSpend(t.ID)
	if err != nil || len(spend) == 0 {
		return nil, err
	}
	balances, err := v.Balances(t.ID)
	if err != nil || balances[gatehouse.AccountCredit] < 0 {
		return nil, err
	}
	return []gatehouse.Alert{{
		Kind: "credit", Share: 100, Fund: fund, Title: "The prepaid credit is used up", Text: "Requests are refused until there is more.",
	}}, nil
}

// What counts as odd: an hour that cost anomalyTimes the mean hour of the week
// before, and at least anomalyLeast. A team that is younger than a day has no
// habits yet.
const (
	anomalyTimes = 5
	anomalyLeast = gatehouse.USD
	anomalyWeek  = 7 * 24 * time.Hour
)

// anomalies compares the last whole hour with the week before it.
func anomalies(v store.View, t *gatehouse.Team, now time.Time) ([]gatehouse.Alert, error) {
	hour := now.UTC().Truncate(time.Hour).Add(-time.Hour)
	if hour.Sub(t.CreateTime) < 24*time.Hour {
		return nil, nil
	}
	last, err := spentBetween(v, t.ID, hour, hour.Add(time.Hour))
	if err != nil || last < anomalyLeast {
		return nil, err
	}
	from := hour.Add(-anomalyWeek)
	if t.CreateTime.After(from) {
		from = t.CreateTime.UTC().Truncate(time.Hour)
	}
	before, err := spentBetween(v, t.ID, from, hour)
	mean := before / gatehouse.Ticks(max(1, hour.Sub(from)/time.Hour))
	if err != nil || last < anomalyTimes*mean {
		return nil, err
	}
	return []gatehouse.Alert{{
		Kind: "anomaly", Share: 100, Fund: fmt.Sprintf("anomaly/%s/%d", t.ID, hour.Unix()),
		Title: "Spending is far above what is usual",
		Text: fmt.Sprintf("%s in the hour from %s; the mean hour of the week before was %s.",
			dollars(last), hour.Format("2006-01-02 15:04 MST"), dollars(mean)),
	}}, nil
}

func spentBetween(v store.View, team gatehouse.ID, from, to time.Time) (sum gatehouse.Ticks, err error) {
	err = v.UsageCells(store.UsageScan{Team: team, Start: from, End: to, Totals: true}, func(c store.UsageCell) error {
		sum += c.Ticks
		return nil
	})
	return sum, err
}

// sendAlerts tries what waits. Who is refused is tried again later; after the
// last try an alert stays in the list, with the hooks that it did not reach.
func (s *Service) sendAlerts(ctx context.Context) error {
	if s.Notifier == nil {
		return nil
	}
	var waiting []gatehouse.Alert
	hooks := map[gatehouse.ID]*gatehouse.AlertHook{}
	err := s.Store.View(ctx, func(v store.View) (err error) {
		if waiting, err = waitingAlerts(v, s.Now()); err != nil || len(waiting) == 0 {
			return err
		}
		all, err := v.AlertHooks(gatehouse.ID{})
		for _, h := range all {
			hooks[h.ID] = h
		}
		return err
	})
	deaf := map[gatehouse.ID]bool{}
	for _, a := range waiting {
		if err != nil || ctx.Err() != nil {
			return err
		}
		s.send(ctx, &a, hooks, deaf)
		err = s.Store.Work(ctx, func(w store.Work) error { return w.PutAlert(a) })
	}
	return err
}

// waitingAlerts are those that some hook has yet to get, newest first. What is
// older than the last try is of no use any more.
func waitingAlerts(v store.View, now time.Time) (out []gatehouse.Alert, err error) {
	oldest := now.Add(-firstRetry << maxTries)
	for after := (store.Cursor{}); ; {
		page, err := v.Alerts(gatehouse.ID{}, after, defaultPage)
		for _, a := range page {
			if len(a.Pending) > 0 && a.Tries < maxTries && !now.Before(nextTry(&a)) {
				out = append(out, a)
			}
		}
		if err != nil || len(page) < defaultPage || page[len(page)-1].Time.Before(oldest) {
			return out, err
		}
		last := page[len(page)-1]
		after = store.Cursor{Time: last.Time, ID: last.ID.String()}
	}
}

// nextTry doubles the wait with every try, up to some hours.
func nextTry(a *gatehouse.Alert) time.Time {
	if a.Tries == 0 {
		return a.Time
	}
	return a.Time.Add(firstRetry << min(a.Tries, 12))
}

// send tries every hook that an alert has not reached. One that is deaf is tried
// once a round, whatever waits for it: others are waiting too.
func (s *Service) send(ctx context.Context, a *gatehouse.Alert, hooks map[gatehouse.ID]*gatehouse.AlertHook, deaf map[gatehouse.ID]bool) {
	a.Tries++
	a.Pending = slices.DeleteFunc(slices.Clone(a.Pending), func(id gatehouse.ID) bool {
		h := hooks[id]
		if h == nil {
			return true // removed meanwhile
		}
		if deaf[id] {
			return false
		}
		err := s.Notifier.Notify(ctx, h, a)
		if err != nil {
			s.Logger.WarnContext(ctx, "alert not delivered", slog.String("alert", a.ID.String()), slog.String("hook", id.String()),
				slog.Int("tries", a.Tries), slog.Any("error", err))
		}
		deaf[id] = err != nil
		return !deaf[id]
	})
}

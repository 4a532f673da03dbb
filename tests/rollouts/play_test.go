// Plays rollouts through Argo's own controller, to make or check the answers of the files beside this one.
//
// It is a test of Argo's package `rollout`, whose fixtures it uses: put it into the folder `rollout` of
// github.com/argoproj/argo-rollouts v1.10.2 and run there
//
//	PLAY_IN=drawn.json PLAY_OUT=answers.json go test ./rollout -run TestPlay
//
// Without a traffic router. Pods are available in the moment they are asked for; the controller reconciles when it asks to, and
// after every change.
package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/argoproj/argo-rollouts/pkg/kubectl-argo-rollouts/cmd/abort"
	"github.com/argoproj/argo-rollouts/pkg/kubectl-argo-rollouts/cmd/promote"
	"github.com/argoproj/argo-rollouts/pkg/kubectl-argo-rollouts/cmd/retry"
	replicasetutil "github.com/argoproj/argo-rollouts/utils/replicaset"
	timeutil "github.com/argoproj/argo-rollouts/utils/time"
	log "github.com/sirupsen/logrus"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/tools/cache"
)

type playCase struct {
	ID       string                   `json:"id"`
	About    string                   `json:"about"`
	Replicas int32                    `json:"replicas"`
	Strategy json.RawMessage          `json:"strategy"`
	Spec     json.RawMessage          `json:"spec,omitempty"`
	Never    []string                 `json:"images_never_available,omitempty"`
	Outcomes map[string][]playOutcome `json:"analysis_outcomes,omitempty"`
	Actions  []playAction             `json:"actions,omitempty"`
	// Runs that are made in the same second have no order.
	RunsByName bool             `json:"runs_by_name,omitempty"`
	Expect     []map[string]any `json:"expect"`
}
type playOutcome struct {
	Phase   string `json:"phase"`
	Message string `json:"message"`
	After   int64  `json:"after"`
}
type playAction struct {
	At int64  `json:"at"`
	Do string `json:"do"`
}

func play(t *testing.T, pc playCase) []map[string]any {
	f := newFixture(t)
	defer f.Close()
	f.fakeTrafficRouting = nil
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := base
	timeutil.SetNowTimeFunc(func() time.Time { return now })
	nowFn = func() time.Time { return now }
	ctx := context.Background()
	ro := newRollout("checkout", int(pc.Replicas), nil, map[string]string{"foo": "bar"})
	if pc.Spec != nil {
		if err := json.Unmarshal(pc.Spec, &ro.Spec); err != nil {
			t.Fatal(err)
		}
	}
	if err := json.Unmarshal(pc.Strategy, &ro.Spec.Strategy); err != nil {
		t.Fatal(err)
	}
	ro.Generation = 1
	delete(ro.Annotations, "rollout.argoproj.io/revision")
	ro.Spec.Template.Spec.Containers[0].Image = "app:1"
	ro.CreationTimestamp = metav1.NewTime(now)
	ro.Status = v1alpha1.RolloutStatus{}
	if bg := ro.Spec.Strategy.BlueGreen; bg != nil {
		if bg.ActiveService == "" {
			bg.ActiveService = "active"
		}
		if bg.PreviewService == "" {
			bg.PreviewService = "preview"
		}
	}
	f.rolloutLister = append(f.rolloutLister, ro)
	f.objects = append(f.objects, ro)
	for _, name := range []string{"active", "preview"} {
		svc := newService(name, 80, nil, ro)
		f.kubeobjects = append(f.kubeobjects, svc)
		f.serviceLister = append(f.serviceLister, svc)
	}
	for _, name := range []string{"once", "checks"} {
		at := analysisTemplate(name)
		at.Spec.DryRun, at.Spec.MeasurementRetention = nil, nil
		at.Spec.Metrics[0].Provider = v1alpha1.MetricProvider{Prometheus: &v1alpha1.PrometheusMetric{Query: "1", Address: "http://x"}}
		if name == "checks" {
			at.Spec.Metrics[0].Interval = "10s"
		}
		f.analysisTemplateLister = append(f.analysisTemplateLister, at)
		f.objects = append(f.objects, at)
	}
	c, i, k8sI := f.newController(func() time.Duration { return 15 * time.Minute })
	c.enqueueRollout = func(any) {}
	due := []time.Time{}
	c.enqueueRolloutAfter = func(_ any, after time.Duration) { due = append(due, now.Add(after)) }
	key := "default/checkout"
	never := map[string]bool{}
	for _, image := range pc.Never {
		never[image] = true
	}
	second := int64(0)
	type end struct {
		at      int64
		outcome playOutcome
	}
	ends := map[string]end{}
	begun := map[string]int{}
	created := 0
	rollouts := f.client.ArgoprojV1alpha1().Rollouts("default")
	runs := f.client.ArgoprojV1alpha1().AnalysisRuns("default")
	follow := func() {
		sets, _ := f.kubeclient.AppsV1().ReplicaSets("default").List(ctx, metav1.ListOptions{})
		for n := range sets.Items {
			rs := &sets.Items[n]
			if rs.CreationTimestamp.IsZero() {
				rs.CreationTimestamp = metav1.NewTime(now.Add(time.Duration(created) * time.Millisecond))
				created++
			}
			if rs.UID == "" {
				rs.UID = uuid.NewUUID()
			}
			rs.Status.Replicas = *rs.Spec.Replicas
			rs.Status.AvailableReplicas = *rs.Spec.Replicas
			if never[rs.Spec.Template.Spec.Containers[0].Image] {
				rs.Status.AvailableReplicas = 0
			}
			rs.Status.ReadyReplicas = rs.Status.AvailableReplicas
			if err := f.kubeclient.Tracker().Update(rsGVR, rs, "default"); err != nil {
				t.Fatal(err)
			}
		}
		list, _ := runs.List(ctx, metav1.ListOptions{})
		for n := range list.Items {
			ar := &list.Items[n]
			if ar.CreationTimestamp.IsZero() {
				ar.CreationTimestamp = metav1.NewTime(now)
			}
			if !ar.Status.Phase.Completed() {
				if ar.Spec.Terminate {
					ar.Status.Phase, ar.Status.Message = v1alpha1.AnalysisPhaseSuccessful, "Run Terminated"
					delete(ends, ar.Name)
				} else if ar.Status.Phase == "" || ar.Status.Phase == v1alpha1.AnalysisPhasePending {
					ar.Status.Phase = v1alpha1.AnalysisPhaseRunning
					kind := purposeOf(ar)
					outcomes := pc.Outcomes[kind]
					if len(outcomes) == 0 {
						t.Fatalf("%s: no outcome for %s", pc.ID, kind)
					}
					nth := min(begun[kind], len(outcomes)-1)
					begun[kind]++
					if outcomes[nth].After >= 0 {
						ends[ar.Name] = end{second + outcomes[nth].After, outcomes[nth]}
					}
				} else if e, ok := ends[ar.Name]; ok && second >= e.at {
					ar.Status.Phase, ar.Status.Message = v1alpha1.AnalysisPhase(e.outcome.Phase), e.outcome.Message
					delete(ends, ar.Name)
				}
			}
			if err := f.client.Tracker().Update(arGVR, ar, "default"); err != nil {
				t.Fatal(err)
			}
		}
	}
	refresh := func() {
		follow()
		replace := func(indexer cache.Indexer, items []any) {
			if err := indexer.Replace(items, ""); err != nil {
				t.Fatal(err)
			}
		}
		var items []any
		sets, _ := f.kubeclient.AppsV1().ReplicaSets("default").List(ctx, metav1.ListOptions{})
		for n := range sets.Items {
			items = append(items, &sets.Items[n])
		}
		replace(k8sI.Apps().V1().ReplicaSets().Informer().GetIndexer(), items)
		items = nil
		services, _ := f.kubeclient.CoreV1().Services("default").List(ctx, metav1.ListOptions{})
		for n := range services.Items {
			items = append(items, &services.Items[n])
		}
		replace(k8sI.Core().V1().Services().Informer().GetIndexer(), items)
		items = nil
		list, _ := runs.List(ctx, metav1.ListOptions{})
		for n := range list.Items {
			items = append(items, &list.Items[n])
		}
		replace(i.Argoproj().V1alpha1().AnalysisRuns().Informer().GetIndexer(), items)
		got, err := rollouts.Get(ctx, "checkout", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c.rolloutVersionTracker.Forget(key)
		replace(c.rolloutsIndexer, []any{got})
	}
	var states []map[string]any
	keys := []string{"at", "step", "aborted", "active"}
	note := func() {
		state := stateOf(t, f, pc, second)
		if len(states) > 0 {
			before := states[len(states)-1]
			same := true
			for k, v := range state {
				if k != "at" && fmt.Sprint(before[k]) != fmt.Sprint(v) {
					same = false
				}
			}
			if same {
				return
			}
			drop := true
			for _, k := range keys {
				if fmt.Sprint(before[k]) != fmt.Sprint(state[k]) {
					drop = false
				}
			}
			if drop {
				states = states[:len(states)-1]
			}
		}
		states = append(states, state)
	}
	all := func() string {
		ro, _ := rollouts.Get(ctx, "checkout", metav1.GetOptions{})
		sets, _ := f.kubeclient.AppsV1().ReplicaSets("default").List(ctx, metav1.ListOptions{})
		list, _ := runs.List(ctx, metav1.ListOptions{})
		services, _ := f.kubeclient.CoreV1().Services("default").List(ctx, metav1.ListOptions{})
		text, _ := json.Marshal([]any{ro, sets, list, services})
		return string(text)
	}
	settle := func() {
		refresh()
		if second >= 0 {
			note()
		}
		for n := 0; n < 80; n++ {
			before := all()
			if err := c.syncHandler(ctx, key); err != nil {
				t.Logf("%s: second %d: %v", pc.ID, second, err)
			}
			refresh()
			note()
			if all() == before {
				return
			}
		}
		// The Progressing condition of a rollout that an analysis has paused never comes to rest.
	}
	act := func(what string) {
		var err error
		switch {
		case strings.HasPrefix(what, "image:"):
			ro, _ := rollouts.Get(ctx, "checkout", metav1.GetOptions{})
			ro.Spec.Template.Spec.Containers[0].Image = strings.TrimPrefix(what, "image:")
			ro.Generation++
			_, err = rollouts.Update(ctx, ro, metav1.UpdateOptions{})
		case strings.HasPrefix(what, "break:"):
			never[strings.TrimPrefix(what, "break:")] = true
		case strings.HasPrefix(what, "heal:"):
			never[strings.TrimPrefix(what, "heal:")] = false
		case what == "promote":
			_, err = promote.PromoteRollout(rollouts, "checkout", false, false, false)
		case what == "promote-full":
			_, err = promote.PromoteRollout(rollouts, "checkout", false, false, true)
		case what == "abort":
			ro, _ := rollouts.Get(ctx, "checkout", metav1.GetOptions{})
			if ro.Status.StableRS == ro.Status.CurrentPodHash {
				return
			}
			_, err = abort.AbortRollout(rollouts, "checkout")
		case what == "retry":
			_, err = retry.RetryRollout(rollouts, "checkout")
		case what == "clear-pause":
			_, err = rollouts.Patch(ctx, "checkout", types.MergePatchType, []byte(`{"status":{"pauseConditions":null}}`), metav1.PatchOptions{})
		case what == "pause":
			_, err = rollouts.Patch(ctx, "checkout", types.MergePatchType, []byte(`{"spec":{"paused":true}}`), metav1.PatchOptions{})
		case what == "unpause":
			_, err = rollouts.Patch(ctx, "checkout", types.MergePatchType, []byte(`{"spec":{"paused":false}}`), metav1.PatchOptions{})
		default:
			t.Fatalf("unknown %s", what)
		}
		if err != nil {
			t.Fatalf("%s: %s: %v", pc.ID, what, err)
		}
	}
	now = base.Add(-1000*time.Second + 500*time.Millisecond)
	second = -1000
	settle()
	now = base
	second = 0
	refresh()
	states = []map[string]any{stateOf(t, f, pc, -1)}
	act("image:app:2")
	actions := append([]playAction{}, pc.Actions...)
	for second = 0; second <= 1500; second++ {
		now = base.Add(time.Duration(second)*time.Second + 500*time.Millisecond)
		wake := second == 0
		for _, action := range actions {
			if action.At == second {
				act(action.Do)
				note()
				wake = true
			}
		}
		for _, e := range ends {
			wake = wake || second >= e.at
		}
		left := due[:0:0]
		for _, at := range due {
			if at.After(now) {
				left = append(left, at)
			} else {
				wake = true
			}
		}
		due = left
		if wake {
			settle()
		}
	}
	return states[1:]
}

func purposeOf(ar *v1alpha1.AnalysisRun) string {
	switch ar.Labels[v1alpha1.RolloutTypeLabel] {
	case v1alpha1.RolloutTypePrePromotionLabel:
		return "pre-promotion"
	case v1alpha1.RolloutTypePostPromotionLabel:
		return "post-promotion"
	case v1alpha1.RolloutTypeBackgroundRunLabel:
		return "background"
	default:
		return ar.Labels[v1alpha1.RolloutCanaryStepIndexLabel]
	}
}

var attemptRe = regexp.MustCompile(`\.(\d+)$`)

func stateOf(t *testing.T, f *fixture, pc playCase, second int64) map[string]any {
	ctx := context.Background()
	ro, err := f.client.ArgoprojV1alpha1().Rollouts("default").Get(ctx, "checkout", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sets, _ := f.kubeclient.AppsV1().ReplicaSets("default").List(ctx, metav1.ListOptions{})
	image := map[string]string{}
	stablePods, otherPods := int64(0), int64(0)
	message := ro.Status.Message
	for n := range sets.Items {
		rs := &sets.Items[n]
		hash := rs.Labels[v1alpha1.DefaultRolloutUniqueLabelKey]
		image[hash] = rs.Spec.Template.Spec.Containers[0].Image
		if hash == ro.Status.StableRS {
			stablePods += int64(*rs.Spec.Replicas)
		} else {
			otherPods += int64(*rs.Spec.Replicas)
		}
		message = strings.ReplaceAll(message, hash, image[hash])
	}
	message = strings.ReplaceAll(message, "checkout-app:2", "checkout-HASH")
	imageOf := func(hash string) any {
		if hash == "" {
			return nil
		}
		return image[hash]
	}
	var step any
	if ro.Status.CurrentStepIndex != nil {
		step = *ro.Status.CurrentStepIndex
	}
	list, _ := f.client.ArgoprojV1alpha1().AnalysisRuns("default").List(ctx, metav1.ListOptions{})
	sort.Slice(list.Items, func(a, b int) bool {
		x, y := list.Items[a], list.Items[b]
		if !x.CreationTimestamp.Equal(&y.CreationTimestamp) {
			return x.CreationTimestamp.Before(&y.CreationTimestamp)
		}
		return x.Name < y.Name
	})
	names := []string{}
	for n := range list.Items {
		ar := &list.Items[n]
		purpose := purposeOf(ar)
		if purpose != "background" && !strings.Contains(purpose, "promotion") {
			purpose = "step " + purpose
		}
		attempt := ""
		if m := attemptRe.FindStringSubmatch(ar.Name); m != nil {
			attempt = "." + m[1]
		}
		ended := ""
		if ar.Spec.Terminate && ar.Status.Phase.Completed() {
			ended = " (terminated)"
		}
		names = append(names, fmt.Sprintf("%s%s of %v: %s%s", purpose, attempt, imageOf(ar.Labels[v1alpha1.DefaultRolloutUniqueLabelKey]), ar.Status.Phase, ended))
	}
	service := func(name string) any {
		svc, err := f.kubeclient.CoreV1().Services("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil
		}
		return imageOf(svc.Spec.Selector[v1alpha1.DefaultRolloutUniqueLabelKey])
	}
	if pc.RunsByName {
		sort.Strings(names)
	}
	var active any
	if ro.Spec.Strategy.BlueGreen != nil {
		active = service("active")
	}
	state := map[string]any{
		"at": second, "step": step, "phase": string(ro.Status.Phase), "message": message,
		"aborted": ro.Status.Abort, "stable": imageOf(ro.Status.StableRS), "active": active,
		"canary_pods": otherPods, "stable_pods": stablePods, "runs": names,
	}
	if active == nil {
		delete(state, "active")
		state["weight"] = 0
		if ro.Status.StableRS != ro.Status.CurrentPodHash && !ro.Status.Abort {
			state["weight"] = replicasetutil.GetCurrentSetWeight(ro)
		}
	}
	return state
}

func TestPlay(t *testing.T) {
	log.SetLevel(log.PanicLevel)
	text, err := os.ReadFile(os.Getenv("PLAY_IN"))
	if err != nil {
		t.Skip("no cases")
	}
	var document struct {
		About string     `json:"about"`
		Cases []playCase `json:"cases"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	var out []playCase
	for _, pc := range document.Cases {
		if strings.Contains(string(pc.Strategy), "trafficRouting") {
			continue
		}
		pc.Expect = play(t, pc)
		out = append(out, pc)
	}
	about, _ := json.Marshal(document.About)
	text = append([]byte(`{"about": `), about...)
	for n, pc := range out {
		made, _ := json.Marshal(pc)
		text = append(text, ",\n"...)
		if n == 0 {
			text = append(text, "\"cases\": [\n"...)
		}
		text = append(text, made...)
	}
	if err := os.WriteFile(os.Getenv("PLAY_OUT"), append(text, "\n]}\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
}

var (
	rsGVR = appsv1.SchemeGroupVersion.WithResource("replicasets")
	arGVR = v1alpha1.SchemeGroupVersion.WithResource("analysisruns")
)

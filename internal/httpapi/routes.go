package httpapi

// routes is the whole API on one screen: one line for each resource, whose file has its operations.
func (s *Server) routes() {
	s.registerHealth()
	if s.deps.HealthOnly {
		return
	}
	s.registerProducts()
	s.registerCardImports()
	s.registerOrders()
	s.registerOrdersWatch()
	s.registerOrderSteps()
	s.registerRisk()
	s.registerCards()
	s.registerPayments()
	s.registerRefunds()
	s.registerReconciliation()
	s.registerPaymentRecords()
	s.registerEvents()
	s.registerWebhookEndpoints()
	s.registerWebhookDeliveries()
	s.registerFailedJobs()
	s.registerFailedJobsBulk()
	s.registerSMSMessages()
	s.registerSMSTemplates()
	s.registerDocs()
}

import requests
class XAIManagement:
    def __init__(self, management_key):
        self.base_url = "https://management-api.x.ai/v1"
        self.headers = {
            "Authorization": f"Bearer {management_key}",
            "Content-Type": "application/json"
        }
    def list_api_keys(self):
        r = requests.get(f"{self.base_url}/api-keys", headers=self.headers)
        return r.json()
    def create_api_key(self, name, permissions=None):
        data = {"name": name, "permissions": permissions or ["inference"]}
        r = requests.post(f"{self.base_url}/api-keys", headers=self.headers, json=data)
        return r.json()
    def get_usage(self, start_date, end_date):
        params = {"start_date": start_date, "end_date": end_date}
        r = requests.get(f"{self.base_url}/billing/usage", headers=self.headers, params=params)
        return r.json()
    def get_credits(self):
        r = requests.get(f"{self.base_url}/billing/credits", headers=self.headers)
        return r.json()

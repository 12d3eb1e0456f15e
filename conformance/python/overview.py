import requests
class XAIManagementClient:
    def __init__(self, management_key):
        self.base_url = "https://management-api.x.ai/v1"
        self.headers = {
            "Authorization": f"Bearer {management_key}",
            "Content-Type": "application/json"
        }
    def list_api_keys(self):
        response = requests.get(
            f"{self.base_url}/api-keys",
            headers=self.headers
        )
        return response.json()
    def create_collection(self, name, description=""):
        response = requests.post(
            f"{self.base_url}/collections",
            headers=self.headers,
            json={"name": name, "description": description}
        )
        return response.json()
    def upload_document(self, collection_id, file_path):
        with open(file_path, "rb") as f:
            response = requests.post(
                f"{self.base_url}/collections/{collection_id}/documents",
                headers={"Authorization": self.headers["Authorization"]},
                files={"file": f}
            )
        return response.json()
    def get_usage(self, start_date, end_date):
        response = requests.get(
            f"{self.base_url}/usage",
            headers=self.headers,
            params={"start_date": start_date, "end_date": end_date}
        )
        return response.json()
# Usage
client = XAIManagementClient(os.environ["XAI_MANAGEMENT_KEY"])
keys = client.list_api_keys()
